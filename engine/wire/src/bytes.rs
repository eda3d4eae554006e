//! Cursors over borrowed bytes: the only way in which frames are read and written.

use crate::layout::{Field, Fixed, Malformed, Overflow};
use core::marker::PhantomData;
use zerocopy::{FromBytes as _, IntoBytes as _};

const RESERVED: Malformed = Malformed("reserved bits set");

/// Reads a frame body from front to back. No method panics.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are still unread.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What was not read yet.
    #[must_use]
    pub const fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left; nothing is consumed.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed("truncated"))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next fixed struct.
    ///
    /// # Errors
    /// [`Malformed`] when too few bytes are left, or one that is kept for later is not zero.
    #[inline]
    pub fn fixed<T: Fixed>(&mut self) -> Result<T, Malformed> {
        let bytes = self.take(T::SIZE)?;
        let fixed = T::read(bytes).ok_or(Malformed("truncated"))?;
        if fixed.reserved_is_zero() { Ok(fixed) } else { Err(RESERVED) }
    }

    /// The next single field.
    ///
    /// # Errors
    /// [`Malformed`] when too few bytes are left.
    pub fn field<T: Field>(&mut self) -> Result<T, Malformed> {
        let bytes = self.take(size_of::<T::Wire>())?;
        let wire = T::Wire::read_from_bytes(bytes).map_err(|_| Malformed("truncated"))?;
        Ok(T::from_wire(wire))
    }

    /// A byte string behind a one-byte length.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short or longer than `max`.
    pub fn short(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.take(1)?[0]);
        if len > max { Err(Malformed("string too long")) } else { self.take(len) }
    }

    /// A text behind a one-byte length: UTF-8 without control characters.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short, longer than `max`, not UTF-8, or unprintable.
    pub fn text(&mut self, max: usize) -> Result<&'a str, Malformed> {
        printable(self.short(max)?)
    }

    /// A text behind a two-byte length: UTF-8 without control characters.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short, longer than `max`, not UTF-8, or unprintable.
    pub fn long_text(&mut self, max: usize) -> Result<&'a str, Malformed> {
        let len = usize::from(self.field::<u16>()?);
        if len > max { Err(Malformed("text too long")) } else { printable(self.take(len)?) }
    }

    /// A byte string behind a four-byte length.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short or longer than `max`.
    pub fn long(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = self.field::<u32>()? as usize;
        if len > max { Err(Malformed("byte string too long")) } else { self.take(len) }
    }

    /// A list of fixed structs behind a two-byte count.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short, has more than `max` items, or a byte of an item that is
    /// kept for later is not zero.
    pub fn list<T: Fixed>(&mut self, max: usize) -> Result<List<'a, T>, Malformed> {
        let count = usize::from(self.field::<u16>()?);
        if count > max {
            return Err(Malformed("list too long"));
        }
        let list = List(Items::Image(self.take(count * T::SIZE)?, PhantomData));
        if T::HAS_RESERVED && !list.iter().all(|item: T| item.reserved_is_zero()) {
            return Err(RESERVED);
        }
        Ok(list)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Malformed`] when bytes follow.
    pub const fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("trailing bytes")) }
    }
}

fn printable(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.is_empty() {
        return Ok("");
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))?;
    // Most are plain ASCII, which is seen sooner than read.
    let is_plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain && has_control(text) {
        Err(Malformed("text has control characters"))
    } else {
        Ok(text)
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Whether a text of at most `max` bytes may stand in a frame: no control characters.
#[must_use]
pub fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !has_control(text)
}

/// Writes a frame body from front to back into a borrowed buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.at
    }

    /// Appends raw bytes.
    ///
    /// # Errors
    /// [`Overflow`] when they do not fit.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        let room = self.out.get_mut(self.at..).ok_or(Overflow)?;
        room.get_mut(..bytes.len()).ok_or(Overflow)?.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    /// Appends a fixed struct.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    #[inline]
    pub fn fixed<T: Fixed>(&mut self, value: &T) -> Result<(), Overflow> {
        value.write(self.out.get_mut(self.at..).ok_or(Overflow)?)?;
        self.at += T::SIZE;
        Ok(())
    }

    /// Appends a single field.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn field<T: Field>(&mut self, value: T) -> Result<(), Overflow> {
        self.put(value.to_wire().as_bytes())
    }

    /// Appends a text behind a two-byte length.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit or is longer than 65,535 bytes.
    pub fn long_text(&mut self, text: &str) -> Result<(), Overflow> {
        self.field(u16::try_from(text.len()).map_err(|_| Overflow)?)?;
        self.put(text.as_bytes())
    }

    /// Appends a byte string behind a one-byte length.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit or is longer than 255 bytes.
    pub fn short(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.put(&[u8::try_from(bytes.len()).map_err(|_| Overflow)?])?;
        self.put(bytes)
    }

    /// Appends a byte string behind a four-byte length.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn long(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.put(&u32::try_from(bytes.len()).map_err(|_| Overflow)?.to_le_bytes())?;
        self.put(bytes)
    }

    /// Appends a list of fixed structs behind a two-byte count.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit or has more than 65,535 items.
    pub fn list<T: Fixed>(&mut self, list: List<'_, T>) -> Result<(), Overflow> {
        self.put(&u16::try_from(list.len()).map_err(|_| Overflow)?.to_le_bytes())?;
        match list.0 {
            Items::Image(bytes, _) => self.put(bytes),
            Items::Native(items) => items.iter().try_for_each(|item| self.fixed(item)),
        }
    }
}

/// A list of fixed structs, borrowed either from the wire or from memory.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, T>(Items<'a, T>);

#[derive(Clone, Copy, Debug)]
enum Items<'a, T> {
    Image(&'a [u8], PhantomData<T>),
    Native(&'a [T]),
}

impl<'a, T: Fixed> List<'a, T> {
    /// A list over native structs, to be emitted.
    #[must_use]
    pub const fn new(items: &'a [T]) -> Self {
        Self(Items::Native(items))
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Items::Image(bytes, _) => bytes.len() / T::SIZE,
            Items::Native(items) => items.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        match self.0 {
            Items::Image(bytes, _) => T::read(bytes.get(index.checked_mul(T::SIZE)?..)?),
            Items::Native(items) => items.get(index).copied(),
        }
    }

    /// All items in order.
    pub fn iter(self) -> impl Iterator<Item = T> + 'a
    where
        T: 'a,
    {
        (0..self.len()).filter_map(move |index| self.get(index))
    }
}

impl<T: Fixed + PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|i| self.get(i) == other.get(i))
    }
}
