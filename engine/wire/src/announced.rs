//! What a node runs, as it says when it joins.
//!
//! Each service is a byte string behind a two-byte length: its name and, behind a zero byte, the
//! words of its command, each with a zero byte behind it. That is the payload of an order to start a service, so whoever has heard
//! an announcement can have the service started elsewhere.

use crate::bytes::Reader;
use crate::layout::Malformed;
use crate::limits::{ANNOUNCED_MAX, ANNOUNCEMENT_MAX};

/// The services that a node announces: sound by construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced<'a>(&'a [u8]);

impl<'a> Announced<'a> {
    /// Nothing.
    pub const NONE: Self = Self(&[]);

    /// Checks what came from elsewhere.
    ///
    /// # Errors
    /// [`Malformed`] when it is longer than [`ANNOUNCEMENT_MAX`], an item is empty or cut short, or
    /// there are more than [`ANNOUNCED_MAX`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > ANNOUNCEMENT_MAX {
            return Err(Malformed("announcement too long"));
        }
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            let (item, after) = split(rest).ok_or(Malformed("announcement cut short"))?;
            count += 1;
            if item.is_empty() || count > ANNOUNCED_MAX {
                return Err(Malformed("empty item, or too many"));
            }
            rest = after;
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Each service: its name and, behind a zero byte, its command.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (item, after) = split(rest)?;
            rest = after;
            Some(item)
        })
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(bytes);
    let len: u16 = reader.field().ok()?;
    let item = reader.take(usize::from(len)).ok()?;
    Some((item, reader.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn items_come_out_as_they_went_in() {
        let bytes = [3, 0, b'w', b'e', b'b', 1, 0, b'x'];
        let announced = Announced::parse(&bytes).unwrap();
        assert_eq!(announced.iter().collect::<Vec<_>>(), [&b"web"[..], b"x"]);
        assert_eq!(announced.as_bytes(), bytes);
        assert_eq!(Announced::parse(&[]), Ok(Announced::NONE));
    }

    #[test]
    fn what_is_cut_short_empty_or_too_much_is_refused() {
        for bytes in [&[3, 0, b'w'][..], &[3], &[0, 0], &[1, 0, b'a', 0, 0]] {
            assert!(Announced::parse(bytes).is_err(), "{bytes:?}");
        }
        let many = [1, 0, b'a'].repeat(ANNOUNCED_MAX + 1);
        assert!(Announced::parse(&many).is_err());
        assert!(Announced::parse(&many[3..]).is_ok());
        let mut long = std::vec![0; ANNOUNCEMENT_MAX + 1];
        long[..2].copy_from_slice(&u16::try_from(ANNOUNCEMENT_MAX - 1).unwrap().to_le_bytes());
        assert!(Announced::parse(&long).is_err());
    }
}
