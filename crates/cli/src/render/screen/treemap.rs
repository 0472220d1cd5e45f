//! Rectangles whose areas are as weights: a treemap, squarified (Bruls, Huizing,
//! van Wijk, "Squarified Treemaps", 2000) in cells of a terminal, which are
//! twice as high as wide.

use ratatui::layout::Rect;

/// How much higher than wide a cell is.
const CELL: f64 = 2.0;

/// A rectangle a weight; one of no cell for what is too light to be seen. The
/// weights are sorted, heaviest first.
pub(super) fn layout(weights: &[u64], area: Rect) -> Vec<Rect> {
    let total: u64 = weights.iter().sum();
    let mut places = vec![Rect::new(area.x, area.y, 0, 0); weights.len()];
    if total == 0 || area.is_empty() {
        return places;
    }
    let mut rest = area;
    let mut left = total;
    let mut from = 0;
    while from < weights.len() && !rest.is_empty() && left > 0 {
        let row = row(&weights[from..], left, rest);
        let weight: u64 = weights[from..from + row].iter().sum();
        let share = weight as f64 / left as f64;
        // Along the shorter side, as the eye sees it.
        let is_column = f64::from(rest.width) >= f64::from(rest.height) * CELL;
        let strip = match is_column {
            true => Rect {
                width: cells(rest.width, share),
                ..rest
            },
            false => Rect {
                height: cells(rest.height, share),
                ..rest
            },
        };
        fill(
            &weights[from..from + row],
            strip,
            is_column,
            &mut places[from..],
        );
        rest = match is_column {
            true => Rect {
                x: rest.x + strip.width,
                width: rest.width - strip.width,
                ..rest
            },
            false => Rect {
                y: rest.y + strip.height,
                height: rest.height - strip.height,
                ..rest
            },
        };
        left -= weight;
        from += row;
    }
    places
}

fn cells(all: u16, share: f64) -> u16 {
    // Within `all`, since the share is at most 1.
    (f64::from(all) * share).round() as u16
}

/// How many of the weights stand in the next strip: as many as make its
/// rectangles no longer than with one more.
fn row(weights: &[u64], total: u64, rest: Rect) -> usize {
    let (width, height) = (f64::from(rest.width), f64::from(rest.height) * CELL);
    let side = width.min(height);
    let scale = width * height / total as f64;
    let worst = |count: usize| {
        let sum: u64 = weights[..count].iter().sum();
        let strip = sum as f64 * scale / side;
        let of = |weight: u64| {
            let length = weight as f64 * scale / strip;
            (strip / length).max(length / strip)
        };
        of(weights[0]).max(of(weights[count - 1].max(1)))
    };
    let mut count = 1;
    while count < weights.len() && worst(count + 1) <= worst(count) {
        count += 1;
    }
    count
}

/// Places the weights of one strip one after the other.
fn fill(weights: &[u64], strip: Rect, is_column: bool, places: &mut [Rect]) {
    let total: u64 = weights.iter().sum();
    let all = match is_column {
        true => strip.height,
        false => strip.width,
    };
    let mut before = 0;
    for (weight, place) in weights.iter().zip(places) {
        let edge = |weight: u64| cells(all, weight as f64 / total.max(1) as f64);
        let (from, to) = (edge(before), edge(before + weight));
        *place = match is_column {
            true => Rect {
                y: strip.y + from,
                height: to - from,
                ..strip
            },
            false => Rect {
                x: strip.x + from,
                width: to - from,
                ..strip
            },
        };
        before += weight;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn areas_are_as_the_weights() {
        let area = Rect::new(0, 0, 80, 20);
        let places = layout(&[50, 25, 25], area);
        assert_eq!(places[0].area(), 800);
        assert_eq!(places[1].area() + places[2].area(), 800);
    }

    proptest! {
        #[test]
        fn rectangles_lie_in_the_area_and_never_on_one_another(
            mut weights in prop::collection::vec(0_u64..1_000_000, 0..60),
            width in 0_u16..200,
            height in 0_u16..60,
        ) {
            weights.sort_unstable_by(|a, b| b.cmp(a));
            let area = Rect::new(3, 2, width, height);
            let places = layout(&weights, area);
            prop_assert_eq!(places.len(), weights.len());
            for (number, place) in places.iter().enumerate() {
                if place.is_empty() {
                    continue;
                }
                prop_assert_eq!(place.intersection(area), *place);
                for other in &places[number + 1..] {
                    prop_assert!(other.is_empty() || !place.intersects(*other));
                }
            }
        }
    }
}
