//! The rows of one table of an SQLite database (sqlite.org/fileformat2.html), of
//! which the second column is all that is wanted. Indices, other tables and what
//! a log beside the file says are left alone.
//!
//! An own reader, since all of SQLite is a megabyte of C, and no row has to be
//! looked for. Each page is read once, whatever the pages say of each other.

/// What a database begins with.
pub(super) const MARK: &[u8] = b"SQLite format 3\0";

/// Deepest tree; at four children a page, as few as there can be, this holds more
/// pages than can be numbered.
const DEEPEST: usize = 20;

struct Database<'data> {
    bytes: &'data [u8],
    page_bytes: usize,
    /// Of a page, what is not kept for extensions.
    usable_bytes: usize,
    /// Pages that were read.
    read: Vec<bool>,
}

/// Calls `take` with the second column of each row of a table, if it is a blob.
///
/// # Errors
/// What is wrong with the database, in words.
pub(super) fn rows(
    bytes: &[u8],
    table: &str,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), &'static str> {
    let short = "it is cut short";
    let head = bytes.get(..100).ok_or(short)?;
    let page_bytes = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65536,
        bytes if bytes.is_power_of_two() && bytes >= 512 => usize::from(bytes),
        _ => return Err("its pages have no valid size"),
    };
    let usable_bytes = page_bytes - usize::from(head[20]);
    if usable_bytes < 480 {
        return Err("its pages have no room");
    }
    let mut database = Database {
        bytes,
        page_bytes,
        usable_bytes,
        read: vec![false; bytes.len().div_ceil(page_bytes)],
    };
    let mut root = None;
    database.walk(1, &mut |row| {
        let columns = columns(row);
        let is = |at: usize, text: &str| {
            columns.as_ref().and_then(|all| all.get(at)) == Some(&Column::Text(text.as_bytes()))
        };
        if is(0, "table")
            && is(1, table)
            && let Some(Column::Number(page)) = columns.as_ref().and_then(|all| all.get(3))
        {
            root = u32::try_from(*page).ok();
        }
        columns.is_some()
    })?;
    let root = root.ok_or("it has no table of packages")?;
    database.walk(root, &mut |row| {
        let Some(columns) = columns(row) else {
            return false;
        };
        if let Some(Column::Blob(blob)) = columns.get(1) {
            take(blob);
        }
        true
    })
}

impl Database<'_> {
    /// A page that was not read yet.
    fn page(&mut self, number: u32) -> Result<&[u8], &'static str> {
        let index = usize::try_from(number)
            .ok()
            .and_then(|page| page.checked_sub(1));
        let index = index.ok_or("a page has the number 0")?;
        match self.read.get_mut(index) {
            Some(read) if !*read => *read = true,
            Some(_) => return Err("two pages lead to one"),
            None => return Err("a page is past its end"),
        }
        let from = index * self.page_bytes;
        let page = self.bytes.get(from..from + self.usable_bytes);
        page.ok_or("a page is cut short")
    }

    /// Reads all rows of the tree at a page.
    fn walk(&mut self, root: u32, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), &'static str> {
        let mut waiting = vec![(root, 0)];
        while let Some((number, depth)) = waiting.pop() {
            if depth > DEEPEST {
                return Err("its tree is too deep");
            }
            let page = self.page(number)?.to_vec();
            let cut = "a page's table of cells is damaged";
            let head = if number == 1 { 100 } else { 0 };
            let is_leaf = match page.get(head) {
                Some(13) => true,
                Some(5) => false,
                _ => return Err("a page is not of a table"),
            };
            let cells = usize::from(half(&page, head + 3).ok_or(cut)?);
            let table = head + if is_leaf { 8 } else { 12 };
            if !is_leaf {
                waiting.push((word(&page, head + 8).ok_or(cut)?, depth + 1));
            }
            // Children are put down last to first, so that rows come in order.
            for index in 0..cells {
                let index = if is_leaf { index } else { cells - 1 - index };
                let cell = usize::from(half(&page, table + 2 * index).ok_or(cut)?);
                if !is_leaf {
                    waiting.push((word(&page, cell).ok_or(cut)?, depth + 1));
                    continue;
                }
                let row = self.row(&page, cell)?;
                if !take(&row) {
                    return Err("a row is damaged");
                }
            }
        }
        Ok(())
    }

    /// A row's bytes: those in its page, and the pages in which they go on.
    fn row(&mut self, page: &[u8], cell: usize) -> Result<Vec<u8>, &'static str> {
        let cut = "a row is cut short";
        let mut at = cell;
        let bytes = varint(page, &mut at).ok_or(cut)?;
        let _number = varint(page, &mut at).ok_or(cut)?;
        let bytes = usize::try_from(bytes).map_err(|_| cut)?;
        if bytes > self.bytes.len() {
            return Err("a row is larger than all");
        }
        let usable = self.usable_bytes;
        let most = usable - 35;
        let here = if bytes <= most {
            bytes
        } else {
            let least = (usable - 12) * 32 / 255 - 23;
            let some = least + (bytes - least) % (usable - 4);
            if some <= most { some } else { least }
        };
        let mut row = page.get(at..at + here).ok_or(cut)?.to_vec();
        let mut next = match bytes - here {
            0 => 0,
            _ => word(page, at + here).ok_or(cut)?,
        };
        while row.len() < bytes {
            let rest = bytes - row.len();
            let page = self.page(next)?;
            next = word(page, 0).ok_or(cut)?;
            row.extend_from_slice(&page[4..][..rest.min(page.len() - 4)]);
        }
        Ok(row)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Column<'row> {
    Nothing,
    Number(i64),
    Text(&'row [u8]),
    Blob(&'row [u8]),
}

/// A row's columns.
fn columns(row: &[u8]) -> Option<Vec<Column<'_>>> {
    let mut at = 0;
    let head = usize::try_from(varint(row, &mut at)?).ok()?;
    let (mut value, mut columns) = (head, Vec::new());
    while at < head {
        let kind = varint(row.get(..head)?, &mut at)?;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            text => (text - 12) / 2,
        };
        let bytes = usize::try_from(bytes).ok()?;
        let content = row.get(value..value.checked_add(bytes)?)?;
        value += bytes;
        columns.push(match kind {
            0 | 7 => Column::Nothing,
            8 | 9 => Column::Number((kind - 8).cast_signed()),
            1..=6 => {
                let sign = if content[0] & 0x80 == 0 { 0 } else { u64::MAX };
                let number = content
                    .iter()
                    .fold(sign, |all, byte| all << 8 | u64::from(*byte));
                Column::Number(number.cast_signed())
            }
            kind if kind % 2 == 0 => Column::Blob(content),
            _ => Column::Text(content),
        });
    }
    Some(columns)
}

/// A number of one to nine bytes, seven bits each but for the ninth.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0_u64;
    for count in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if count == 8 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
