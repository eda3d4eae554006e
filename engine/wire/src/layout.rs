//! Fixed layouts: how a plain Rust struct stands on the wire.
//!
//! [`layout!`] declares a struct of native fields and, beside it, its little-endian, unpadded wire
//! image (checked by `zerocopy`); the announced size is asserted at compile time. Reading copies a
//! few dozen bytes into registers; whatever is long (names, payloads, lists) stays borrowed.

use core::fmt;
use zerocopy::little_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why bytes are not what they claim to be. Carries the first rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed: {}", self.0)
    }
}

impl core::error::Error for Malformed {}

/// The output buffer is too small for what should be written. Nothing valid was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame does not fit the buffer")
    }
}

impl core::error::Error for Overflow {}

/// A native type that has one little-endian image of fixed size.
pub trait Field: Copy {
    /// The image: unaligned, unpadded, valid for every bit pattern.
    type Wire: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Copy;
    /// The image of this value.
    fn to_wire(self) -> Self::Wire;
    /// The value of an image; every bit pattern has one.
    fn from_wire(wire: Self::Wire) -> Self;
}

macro_rules! field_as {
    ($native:ty, $wire:ty) => {
        impl Field for $native {
            type Wire = $wire;
            #[inline]
            fn to_wire(self) -> $wire {
                <$wire>::new(self)
            }
            #[inline]
            fn from_wire(wire: $wire) -> Self {
                wire.get()
            }
        }
    };
}
field_as!(u16, U16);
field_as!(u32, U32);
field_as!(u64, U64);
field_as!(i32, I32);

impl Field for u8 {
    type Wire = Self;
    #[inline]
    fn to_wire(self) -> Self {
        self
    }
    #[inline]
    fn from_wire(wire: Self) -> Self {
        wire
    }
}

impl<const N: usize> Field for [u8; N] {
    type Wire = Self;
    #[inline]
    fn to_wire(self) -> Self {
        self
    }
    #[inline]
    fn from_wire(wire: Self) -> Self {
        wire
    }
}

/// A struct of fixed size on the wire. Implemented by the macro `layout!` only.
pub trait Fixed: Copy {
    /// Bytes on the wire.
    const SIZE: usize;
    /// Whether some of them are kept for later: fields named `reserved` or `spare`.
    const HAS_RESERVED: bool;
    /// Whether all that is kept for later is zero. [`crate::Reader`] refuses anything else, so that
    /// a later version can give those bytes a meaning.
    fn reserved_is_zero(&self) -> bool;
    /// Reads the struct from the front of `bytes`; `None` when there are too few.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Writes the struct to the front of `out`.
    ///
    /// # Errors
    /// [`Overflow`] when `out` is shorter than [`Self::SIZE`]; `out` is then unchanged.
    fn write(&self, out: &mut [u8]) -> Result<(), Overflow>;
}

/// Declares a struct with public native fields and its wire image of the announced size.
macro_rules! layout {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $size:literal {
            $( $(#[$fmeta:meta])* $field:ident: $ty:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
        }

        const _: () = {
            use $crate::layout::{Field, Fixed, Overflow};
            #[derive(
                zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
                zerocopy::KnownLayout, zerocopy::Unaligned,
            )]
            #[derive(Clone, Copy)]
            #[repr(C)]
            #[doc(hidden)]
            #[allow(missing_debug_implementations, unreachable_pub)]
            pub struct Image { $( $field: <$ty as Field>::Wire, )* }

            const _: () = assert!(core::mem::size_of::<Image>() == $size);
            const _: () = assert!(core::mem::align_of::<Image>() == 1);

            impl Field for $name {
                type Wire = Image;
                #[inline]
                fn to_wire(self) -> Image {
                    Image { $( $field: Field::to_wire(self.$field), )* }
                }
                #[inline]
                fn from_wire(image: Image) -> Self {
                    Self { $( $field: <$ty as Field>::from_wire(image.$field), )* }
                }
            }

            impl Fixed for $name {
                const SIZE: usize = $size;
                const HAS_RESERVED: bool = false $( || layout!(@is_reserved $field) )*;
                #[inline]
                fn reserved_is_zero(&self) -> bool {
                    true $( && layout!(@is_zero self $field $ty) )*
                }
                #[inline]
                fn read(bytes: &[u8]) -> Option<Self> {
                    let (image, _) = <Image as zerocopy::FromBytes>::ref_from_prefix(bytes).ok()?;
                    Some(Self::from_wire(*image))
                }
                #[inline]
                fn write(&self, out: &mut [u8]) -> Result<(), Overflow> {
                    zerocopy::IntoBytes::write_to_prefix(&self.to_wire(), out).map_err(|_| Overflow)
                }
            }
        };
    };
    (@is_reserved reserved) => { true };
    (@is_reserved spare) => { true };
    (@is_reserved $field:ident) => { false };
    (@is_zero $image:ident reserved $ty:ty) => { $image.reserved == <$ty>::default() };
    (@is_zero $image:ident spare $ty:ty) => { $image.spare == <$ty>::default() };
    (@is_zero $image:ident $field:ident $ty:ty) => { true };
}
pub(crate) use layout;
