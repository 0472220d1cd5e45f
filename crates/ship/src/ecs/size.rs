//! Fargate's sizes and architectures, and the ones that fit an application.

use ounce_oci::ByteSize;

use crate::application::Application;

/// Fargate's sizes: units of a processor (1,024 are one), with the least and the
/// most memory and the step between, MiB. From the developer guide, "Task size".
const SIZES: &[(u32, u32, u32, u32)] = &[
    // At 256 units the steps are no steps: 512, 1024 and 2048.
    (256, 512, 2048, 0),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// ECS cannot run it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EcsError {
    /// No size of Fargate's is that large.
    #[error("{cpu_millis} thousandths of a processor with {memory} are more than Fargate has")]
    Size {
        /// What was asked for.
        cpu_millis: u32,
        /// What was asked for.
        memory: ByteSize,
    },
    /// ECS reads secrets by their ARNs.
    #[error("the secret of {variable} is {from:?}, and ECS wants an ARN")]
    Secret {
        /// The variable.
        variable: String,
        /// What keeps it, as it was told.
        from: String,
    },
    /// Fargate has two architectures.
    #[error("the image is for {0}, and Fargate runs linux/amd64 and linux/arm64")]
    Architecture(String),
}

/// A size of Fargate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Units of a processor; 1,024 are one.
    pub cpu_units: u32,
    /// Memory.
    pub memory_mib: u32,
}

/// The smallest of Fargate's sizes that holds so much.
///
/// # Errors
/// None does.
pub fn size(cpu_millis: u32, memory_bytes: u64) -> Result<Size, EcsError> {
    let units = (u64::from(cpu_millis) * 1024).div_ceil(1000);
    let wanted = memory_bytes.div_ceil(1 << 20);
    for &(cpu_units, least, most, step) in SIZES {
        if u64::from(cpu_units) < units || u64::from(most) < wanted {
            continue;
        }
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).max(least);
        let memory_mib = match step {
            0 => wanted.next_power_of_two(),
            step => wanted.div_ceil(step) * step,
        };
        return Ok(Size {
            cpu_units,
            memory_mib: memory_mib.min(most),
        });
    }
    Err(EcsError::Size {
        cpu_millis,
        memory: ByteSize(memory_bytes),
    })
}

/// The architecture it runs on, as ECS and as Go name it: arm64 where there is
/// an image for it, since it costs a fifth less.
///
/// # Errors
/// There is an image for neither.
pub fn architecture(application: &Application) -> Result<(&'static str, &'static str), EcsError> {
    let all = application.architectures();
    if all.contains(&"arm64") {
        Ok(("ARM64", "arm64"))
    } else if all.contains(&"amd64") {
        Ok(("X86_64", "amd64"))
    } else {
        let shown = application.platforms.iter().map(ToString::to_string);
        Err(EcsError::Architecture(shown.collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_size_of_fargates_that_holds_it_is_taken() {
        let of = |cpu, mib: u64| {
            let size = size(cpu, mib << 20).unwrap();
            (size.cpu_units, size.memory_mib)
        };
        assert_eq!(of(50, 32), (256, 512));
        assert_eq!(of(250, 513), (256, 1024));
        assert_eq!(of(250, 1500), (256, 2048));
        assert_eq!(of(251, 32), (512, 1024));
        assert_eq!(of(50, 2049), (512, 3072));
        assert_eq!(of(4000, 30_720), (4096, 30_720));
        assert_eq!(of(4000, 30_721), (8192, 32_768));
        assert!(size(17_000, 1).is_err());
        assert!(size(1, 200 << 30).is_err());
    }
}
