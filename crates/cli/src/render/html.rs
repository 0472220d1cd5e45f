//! One page that shows images by folder and file: nothing is fetched, so it can
//! be kept, mailed and opened offline.

use ounce_weigh::{Inventory, Weight};
use serde_json::json;

use crate::failure::{Failure, Kind};

const PAGE: &str = include_str!("weigh.html");

/// The page for these images.
///
/// # Errors
/// None but of our own making.
pub(crate) fn page(images: &[(String, Weight, Inventory)]) -> Result<String, Failure> {
    let images: Vec<_> = images
        .iter()
        .map(|(name, weight, inventory)| {
            let files: Vec<_> = inventory
                .files
                .iter()
                .filter(|file| file.bytes > 0)
                .map(|file| json!([file.path, file.bytes, file.compressed_bytes, file.kind]))
                .collect();
            json!({"name": name, "weight": weight, "files": files})
        })
        .collect();
    let data = serde_json::to_string(&images).map_err(|error| Failure::new(Kind::Bug, error))?;
    // A file may be called `</script>`.
    let data = data.replace('<', "\\u003c");
    Ok(PAGE.replace("@DATA@", &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_whole_in_itself() {
        let page = page(&[]).unwrap();
        assert!(!page.contains("@DATA@") && page.contains(">[]</script>"));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
