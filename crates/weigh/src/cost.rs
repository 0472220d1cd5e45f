//! What an image's bytes cost on their way: time, money and energy, by the
//! formulas below and the coefficients of `cost.toml`.
//!
//! - seconds of a pull = pulled bytes × 8 ÷ bits a second;
//! - dollars a month of storage = gigabytes × price;
//! - dollars and kilowatt-hours of a thousand pulls = gigabytes × 1,000 × coefficient.
//!
//! A gigabyte is 10⁹ bytes. Running a service costs more energy than pulling
//! it, and a smaller image does not run on less: that is not reckoned here.

use serde::{Deserialize, Serialize};

/// The coefficients, as text.
const COEFFICIENTS: &str = include_str!("cost.toml");

/// Lowest and highest.
pub type Range = [f64; 2];

#[derive(Debug, Deserialize)]
struct Coefficients {
    bandwidth: Bandwidth,
    storage: Storage,
    transfer: Transfer,
    energy: Energy,
}

#[derive(Debug, Deserialize)]
struct Bandwidth {
    source: String,
    megabits_per_second: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Storage {
    source: String,
    dollars_per_gigabyte_month: Range,
}

#[derive(Debug, Deserialize)]
struct Transfer {
    source: String,
    dollars_per_gigabyte: Range,
}

#[derive(Debug, Deserialize)]
struct Energy {
    source: String,
    kilowatt_hours_per_gigabyte: Range,
}

/// What moving an image costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// How long a pull takes on the line alone.
    pub pull: Vec<Pull>,
    /// To keep it for a month, dollars.
    pub storage_dollars_month: Range,
    /// To pull it a thousand times, dollars.
    pub transfer_dollars_thousand: Range,
    /// To pull it a thousand times, kilowatt-hours.
    pub energy_kilowatt_hours_thousand: Range,
    /// Where the coefficients come from.
    pub sources: Vec<String>,
}

/// A pull at one bandwidth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pull {
    /// The line.
    pub megabits_per_second: u32,
    /// How long.
    pub seconds: f64,
}

/// Reckons what so many pulled bytes cost; `None` if the coefficients that are
/// built in cannot be read, which a test excludes.
pub fn cost(pulled_bytes: u64) -> Option<Cost> {
    let coefficients: Coefficients = toml::from_str(COEFFICIENTS).ok()?;
    let gigabytes = pulled_bytes as f64 / 1e9;
    let times = |range: Range, factor: f64| range.map(|value| value * factor);
    Some(Cost {
        pull: coefficients
            .bandwidth
            .megabits_per_second
            .iter()
            .map(|&megabits_per_second| Pull {
                megabits_per_second,
                seconds: pulled_bytes as f64 * 8.0 / (f64::from(megabits_per_second) * 1e6),
            })
            .collect(),
        storage_dollars_month: times(coefficients.storage.dollars_per_gigabyte_month, gigabytes),
        transfer_dollars_thousand: times(
            coefficients.transfer.dollars_per_gigabyte,
            gigabytes * 1000.0,
        ),
        energy_kilowatt_hours_thousand: times(
            coefficients.energy.kilowatt_hours_per_gigabyte,
            gigabytes * 1000.0,
        ),
        sources: vec![
            coefficients.bandwidth.source,
            coefficients.storage.source,
            coefficients.transfer.source,
            coefficients.energy.source,
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabyte_costs_what_the_coefficients_say() {
        let cost = cost(1_000_000_000).unwrap();
        assert_eq!(cost.pull[1].megabits_per_second, 200);
        assert!((cost.pull[1].seconds - 40.0).abs() < 1e-9);
        assert!((cost.transfer_dollars_thousand[1] - 45.0).abs() < 1e-9);
        assert!((cost.energy_kilowatt_hours_thousand[0] - 1.0).abs() < 1e-9);
        assert_eq!(cost.sources.len(), 4);
    }
}
