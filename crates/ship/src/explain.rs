//! What an application costs on each platform, in money, memory, time and energy,
//! before anything is applied.
//!
//! Prices and coefficients are those of `prices.toml`, each with its source; what
//! was measured of the image is told apart from them. All of it is an estimate
//! for one traffic, around the clock, and says by which formula.

use serde::{Deserialize, Serialize};

use crate::application::{Application, Basis};
use crate::ecs;

/// The prices, as text.
const PRICES: &str = include_str!("prices.toml");

/// Lowest and highest.
pub type Range = [f64; 2];

#[derive(Debug, Deserialize)]
struct Prices {
    load: Load,
    fargate: Fargate,
    lambda: Lambda,
    node: NodePrice,
    pi: Pi,
    energy: Energy,
    bandwidth: Bandwidth,
}

#[derive(Debug, Deserialize)]
struct Load {
    source: String,
    milliseconds_per_request: f64,
    hours_per_month: f64,
}

#[derive(Debug, Deserialize)]
struct Fargate {
    source: String,
    arm_vcpu_hour: f64,
    arm_gigabyte_hour: f64,
    x86_vcpu_hour: f64,
    x86_gigabyte_hour: f64,
}

#[derive(Debug, Deserialize)]
struct Lambda {
    source: String,
    million_requests: f64,
    arm_gigabyte_second: f64,
    x86_gigabyte_second: f64,
    least_memory_mib: f64,
    vcpu_memory_mib: f64,
    start_source: String,
    start_milliseconds: Range,
}

#[derive(Debug, Deserialize)]
struct NodePrice {
    source: String,
    dollars_hour: f64,
    vcpu: f64,
    memory_mib: f64,
    usable: f64,
}

#[derive(Debug, Deserialize)]
struct Pi {
    source: String,
    dollars: f64,
    months: f64,
    watts: Range,
    dollars_kilowatt_hour: Range,
}

#[derive(Debug, Deserialize)]
struct Energy {
    source: String,
    watts_per_vcpu: Range,
    watts_per_gigabyte: f64,
    overhead: f64,
}

#[derive(Debug, Deserialize)]
struct Bandwidth {
    source: String,
    megabits_per_second: Range,
}

/// What an application is on one platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The platform.
    pub platform: &'static str,
    /// What is paid for, in words with the figures in them.
    pub basis: String,
    /// A month, dollars.
    pub dollars_month: Range,
    /// Memory that is paid for or kept, bytes, all replicas together.
    pub memory_bytes: u64,
    /// A month, kilowatt-hours.
    pub kilowatt_hours_month: Range,
    /// From nothing to the first answer, milliseconds; absent where nothing was
    /// measured. What the platform itself adds is in it only where `start_basis` says so.
    pub start_ms: Option<Range>,
    /// What that is made of.
    pub start_basis: String,
    /// Where prices and coefficients come from.
    pub sources: Vec<String>,
    /// Why it cannot be there, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// All platforms side by side for one traffic, requests a second around the clock.
/// Nothing if the prices that are built in cannot be read, which a test excludes.
pub fn platforms(application: &Application, requests_per_second: f64) -> Vec<Estimate> {
    let Ok(prices) = toml::from_str::<Prices>(PRICES) else {
        return Vec::new();
    };
    let reckoner = Reckoner {
        application,
        prices,
        traffic: requests_per_second,
    };
    vec![
        reckoner.lambda(),
        reckoner.fargate(),
        reckoner.kubernetes(),
        reckoner.pi(),
    ]
}

/// The estimate for a target's name, if there is one: a machine of one's own is
/// taken for a Raspberry Pi.
pub fn of<'a>(target: &str, estimates: &'a [Estimate]) -> Option<&'a Estimate> {
    let platform = match target {
        "kubernetes" => "kubernetes",
        "ecs" => "fargate",
        "lambda" => "lambda",
        _ => "raspberry pi",
    };
    estimates.iter().find(|it| it.platform == platform)
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

struct Reckoner<'a> {
    application: &'a Application,
    prices: Prices,
    traffic: f64,
}

impl Reckoner<'_> {
    fn hours(&self) -> f64 {
        self.prices.load.hours_per_month
    }

    /// The image's own part: its pull, and its start to the first answer.
    fn start(&self) -> (Option<Range>, String) {
        let measured = self.application.measured.and_then(|it| it.first_answer_us);
        let Some(own_us) = measured else {
            return (None, "not measured: --measure".to_owned());
        };
        let bits = self.application.pulled_bytes as f64 * 8.0;
        let pull = |megabits: f64| bits / (megabits * 1e6) * 1e3;
        let [slow, fast] = self.prices.bandwidth.megabits_per_second;
        let own = own_us as f64 / 1e3;
        let text = format!(
            "pull of {} bytes at {fast:.0} to {slow:.0} Mbit/s, and the start measured here, \
             {own:.1} ms; what the platform adds is not in it",
            self.application.pulled_bytes
        );
        (Some([own + pull(fast), own + pull(slow)]), text)
    }

    /// Kilowatt-hours of so much of machines for so many hours.
    fn energy(&self, vcpu: f64, memory_bytes: f64, hours: f64) -> Range {
        let energy = &self.prices.energy;
        let memory = memory_bytes / 1e9 * energy.watts_per_gigabyte;
        energy
            .watts_per_vcpu
            .map(|watts| (watts * vcpu + memory) * hours * energy.overhead / 1e3)
    }

    fn lambda(&self) -> Estimate {
        let lambda = &self.prices.lambda;
        let wanted = self.application.resources.memory_limit_bytes as f64 / MIB;
        let memory_mib = wanted.max(lambda.least_memory_mib);
        let requests = self.traffic * 3600.0 * self.hours();
        let seconds = self.prices.load.milliseconds_per_request.ceil() / 1e3;
        let gigabyte_seconds = requests * seconds * memory_mib / 1024.0;
        let is_arm = self.application.architectures().contains(&"arm64");
        let price = match is_arm {
            true => lambda.arm_gigabyte_second,
            false => lambda.x86_gigabyte_second,
        };
        let dollars = requests / 1e6 * lambda.million_requests + gigabyte_seconds * price;
        let busy_hours = requests * seconds / 3600.0;
        let vcpu = memory_mib / lambda.vcpu_memory_mib;
        let runs = ecs::architecture(self.application).is_ok();
        Estimate {
            platform: "lambda",
            basis: format!(
                "{:.1} million requests of {} ms with {memory_mib:.0} MiB, {}",
                requests / 1e6,
                self.prices.load.milliseconds_per_request,
                if is_arm { "arm64" } else { "x86_64" }
            ),
            dollars_month: [dollars; 2],
            memory_bytes: (memory_mib * MIB) as u64,
            kilowatt_hours_month: self.energy(vcpu, memory_mib * MIB, busy_hours),
            start_ms: Some(lambda.start_milliseconds),
            start_basis: "published for Rust, by zip and by image; not measured here".to_owned(),
            sources: vec![
                lambda.source.clone(),
                self.prices.load.source.clone(),
                lambda.start_source.clone(),
                self.prices.energy.source.clone(),
            ],
            refused: (!runs).then(|| "Lambda runs linux/amd64 and linux/arm64".to_owned()),
        }
    }

    fn fargate(&self) -> Estimate {
        let resources = self.application.resources;
        let replicas = f64::from(self.application.replicas);
        let sized = ecs::size(resources.cpu_millis, resources.memory_limit_bytes)
            .and_then(|size| Ok((size, ecs::architecture(self.application)?)));
        let (size, (_, architecture)) = match sized {
            Ok(sized) => sized,
            Err(error) => return self.impossible("fargate", error.to_string()),
        };
        let prices = &self.prices.fargate;
        let (cpu, memory) = match architecture {
            "arm64" => (prices.arm_vcpu_hour, prices.arm_gigabyte_hour),
            _ => (prices.x86_vcpu_hour, prices.x86_gigabyte_hour),
        };
        let vcpu = f64::from(size.cpu_units) / 1024.0;
        let gigabytes = f64::from(size.memory_mib) / 1024.0;
        let dollars = (vcpu * cpu + gigabytes * memory) * self.hours() * replicas;
        let (start_ms, start_basis) = self.start();
        Estimate {
            platform: "fargate",
            basis: format!(
                "{replicas} tasks of {vcpu} vCPU and {} MiB, {architecture}, all month",
                size.memory_mib
            ),
            dollars_month: [dollars; 2],
            memory_bytes: (gigabytes * GIB * replicas) as u64,
            kilowatt_hours_month: self.energy(
                vcpu * replicas,
                gigabytes * GIB * replicas,
                self.hours(),
            ),
            start_ms,
            start_basis,
            sources: vec![
                prices.source.clone(),
                self.prices.energy.source.clone(),
                self.prices.bandwidth.source.clone(),
            ],
            refused: None,
        }
    }

    /// What is kept of a node: the larger share of its processor and its memory.
    fn kubernetes(&self) -> Estimate {
        let node = &self.prices.node;
        let resources = self.application.resources;
        let replicas = f64::from(self.application.replicas);
        let vcpu = f64::from(resources.cpu_millis) / 1e3 * replicas;
        let memory = resources.memory_request_bytes as f64 * replicas;
        let share =
            (vcpu / (node.vcpu * node.usable)).max(memory / (node.memory_mib * MIB * node.usable));
        let dollars = share * node.dollars_hour * self.hours();
        let (start_ms, start_basis) = self.start();
        Estimate {
            platform: "kubernetes",
            basis: format!(
                "{replicas} replicas of {} thousandths of a processor and {} MiB: {:.1} % of a node",
                resources.cpu_millis,
                resources.memory_request_bytes >> 20,
                share * 100.0
            ),
            dollars_month: [dollars; 2],
            memory_bytes: memory as u64,
            kilowatt_hours_month: self.energy(share * node.vcpu, memory, self.hours()),
            start_ms,
            start_basis,
            sources: vec![
                node.source.clone(),
                self.prices.energy.source.clone(),
                self.prices.bandwidth.source.clone(),
            ],
            refused: None,
        }
    }

    fn pi(&self) -> Estimate {
        let pi = &self.prices.pi;
        let energy = pi.watts.map(|watts| watts * self.hours() / 1e3);
        let bought = pi.dollars / pi.months;
        let [least, most] = pi.dollars_kilowatt_hour;
        let arm = |architecture: &&str| architecture.starts_with("arm");
        let fits = self.application.architectures().iter().any(arm);
        let (start_ms, start_basis) = match self.application.measured {
            Some(measured) => (
                measured.first_answer_us.map(|us| [us as f64 / 1e3; 2]),
                "the start measured here, on this machine's processor".to_owned(),
            ),
            None => (None, "not measured: --measure".to_owned()),
        };
        Estimate {
            platform: "raspberry pi",
            basis: format!(
                "one machine of {} dollars, {:.0} months",
                pi.dollars, pi.months
            ),
            dollars_month: [bought + energy[0] * least, bought + energy[1] * most],
            memory_bytes: self.application.resources.memory_limit_bytes,
            kilowatt_hours_month: energy,
            start_ms,
            start_basis,
            sources: vec![pi.source.clone()],
            refused: (!fits).then(|| "it has no image for ARM".to_owned()),
        }
    }

    fn impossible(&self, platform: &'static str, why: String) -> Estimate {
        Estimate {
            platform,
            basis: String::new(),
            dollars_month: [0.0; 2],
            memory_bytes: 0,
            kilowatt_hours_month: [0.0; 2],
            start_ms: None,
            start_basis: String::new(),
            sources: Vec::new(),
            refused: Some(why),
        }
    }
}

/// Where the figures of memory come from, in a few words.
pub fn memory_basis(application: &Application) -> &'static str {
    match application.resources.basis {
        Basis::Measured => "measured here",
        Basis::Estimated => "estimated from the image's size",
        Basis::Told => "as told",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::tests::shop;

    #[test]
    fn floor_of_fargate_on_arm_is_as_published() {
        let mut shop = shop();
        shop.replicas = 1;
        shop.platforms = vec!["linux/arm64".parse().unwrap()];
        let all = platforms(&shop, 10.0);
        assert_eq!(all.len(), 4);
        let fargate = of("ecs", &all).unwrap();
        // 7.21 dollars a month: docs and guides agree on it.
        assert!(
            (fargate.dollars_month[0] - 7.21).abs() < 0.005,
            "{fargate:?}"
        );
        assert!(all.iter().all(|one| one.refused.is_none()));
    }

    #[test]
    fn lambda_costs_by_the_request_and_the_rest_by_the_hour() {
        let shop = shop();
        let (few, many) = (platforms(&shop, 1.0), platforms(&shop, 100.0));
        let ratio = |at: usize| many[at].dollars_month[0] / few[at].dollars_month[0];
        assert!((ratio(0) - 100.0).abs() < 1e-6);
        assert!((ratio(1) - 1.0).abs() < 1e-9 && (ratio(2) - 1.0).abs() < 1e-9);
        assert!(platforms(&shop, 0.0)[0].dollars_month[0] == 0.0);
    }

    #[test]
    fn what_cannot_be_there_says_why() {
        let all = platforms(&shop(), 1.0);
        assert!(all[3].refused.as_deref().unwrap().contains("ARM"));
        let mut odd = shop();
        odd.platforms = vec!["linux/riscv64".parse().unwrap()];
        let all = platforms(&odd, 1.0);
        assert!(all[0].refused.is_some() && all[1].refused.is_some());
    }

    #[test]
    fn every_estimate_names_its_sources_and_no_range_is_upside_down() {
        for one in platforms(&shop(), 10.0) {
            assert!(!one.sources.is_empty(), "{one:?}");
            for [low, high] in [one.dollars_month, one.kilowatt_hours_month]
                .into_iter()
                .chain(one.start_ms)
            {
                assert!(low <= high && low >= 0.0, "{one:?}");
            }
        }
    }
}
