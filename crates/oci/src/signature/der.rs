//! As much of DER (ITU-T X.690) as keys are written in: tags, lengths, and
//! nothing of what the values mean.

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

/// Tags that occur in keys.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

impl<'a> Der<'a> {
    /// The next value's content, if it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content, rest) = split(self.0)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// The next value's content as further values.
    pub(super) fn enter(&mut self) -> Option<Der<'a>> {
        self.take(SEQUENCE).map(Der)
    }

    /// A bit string of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        match self.take(BIT_STRING)? {
            [0, bytes @ ..] => Some(bytes),
            _ => None,
        }
    }

    /// Whether all has been read.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Keys take less than 64 KiB; a length in fewer bytes than it is written
        // in is no DER.
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (Some(usize::from(length)).filter(|it| *it > 0x7f)?, rest)
        }
        0x82 => {
            let (length, rest) = rest.split_at_checked(2)?;
            let length = usize::from(length[0]) << 8 | usize::from(length[1]);
            (Some(length).filter(|it| *it > 0xff)?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A value with its tag and length; at most 64 KiB.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..=0x7f => bytes.push(length as u8),
        0x80..=0xff => bytes.extend([0x81, length as u8]),
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_read_back_whatever_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let written = value(OCTET_STRING, &vec![7; length]);
            let mut der = Der(&written);
            assert_eq!(der.take(OCTET_STRING).unwrap().len(), length);
            assert!(der.is_done());
        }
    }

    #[test]
    fn cut_or_padded_lengths_are_refused() {
        for bytes in [
            &[][..],
            &[4],
            &[4, 2, 0],
            &[4, 0x81, 3, 0, 0, 0],
            &[4, 0x82, 0, 3, 0, 0, 0],
            &[4, 0x80, 0, 0],
            &[4, 0x84, 255, 255, 255, 255],
        ] {
            assert!(Der(bytes).take(OCTET_STRING).is_none(), "{bytes:?}");
        }
        assert!(Der(&[3, 2, 1, 0]).bits().is_none());
    }
}
