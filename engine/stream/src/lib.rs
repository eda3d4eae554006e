//! Reliable ordered streams over unreliable datagrams.
//!
//! A stream is one way: a sender, a receiver, a lane between them. Messages go into a line of
//! bytes, each behind its length, and every byte has a **position**. A datagram carries a
//! *fragment*: any piece of that line. The receiver keeps what arrives, wherever it belongs, hands
//! over messages as they become whole, and answers each burst with a *status* (all below `next` is
//! here, there is room for `window` more) and a *NAK* for what is missing in between. The sender
//! keeps every byte until a status covers it, so it can repair any gap; its only timer asks again
//! when nothing was heard for a retransmission timeout (RFC 6298), which is also how the loss of
//! the last fragment is found. The shape is Aeron's (positions, NAKs, receiver-driven windows), so
//! that many receivers can later listen to one sender.
//!
//! A **session** is one life of a stream: it starts at position 0. When either end restarts or
//! gives up, the stream begins anew in a higher session, messages under way are lost, and both
//! roles are told by [`Delivery::Reset`]; nothing is ever lost without that.
//!
//! A role owns one [`Streams`], routes stream frames and the timer [`TIMER`] to it, and takes
//! deliveries into a buffer that it reuses:
//!
//! ```
//! use syncom_seam::{Now, Origin, Outbox};
//! use syncom_stream::{Config, Delivery, Streams};
//! use syncom_wire::{Frame, Frames};
//!
//! struct Listener { streams: Streams, buffer: Vec<u8>, heard: usize }
//!
//! impl Listener {
//!     fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
//!         if self.streams.on_frame(now.at, from, frame, out) {
//!             self.drain();
//!         }
//!     }
//!
//!     fn drain(&mut self) {
//!         let mut buffer = std::mem::take(&mut self.buffer);
//!         while let Some(delivery) = self.streams.take(&mut buffer) {
//!             match delivery {
//!                 Delivery::Message(_) => self.heard += Frames::new(&buffer).flatten().count(),
//!                 Delivery::Reset(..) | Delivery::Writable(_) => {}
//!             }
//!         }
//!         self.buffer = buffer;
//!     }
//! }
//! # let mut listener = Listener {
//! #     streams: Streams::new(Config::default()), buffer: Vec::new(), heard: 0 };
//! # listener.drain();
//! ```
//!
//! **Channels** move the same line at the speed of the machine, for applications: a
//! [`Publication`] cuts datagrams from a ring, an [`Image`] reads them where the kernel wrote them,
//! one sender may have many receivers, and somebody who comes late begins at the present position.
//! Both are driven by `syncom-engine`'s channels and send through a [`Post`].
//!
//! Start reading at [`Streams`]; then `sender` and `receiver`, which know nothing of each other.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod audience;
mod carry;
mod config;
mod congestion;
mod delivery;
mod image;
mod line;
mod mux;
mod naks;
mod post;
mod publication;
mod reassembly;
mod receiver;
mod ring;
mod rtt;
mod sender;

pub use audience::Flow;
pub use carry::Broken;
pub use config::{Config, LANES_MAX};
pub use congestion::Control;
pub use delivery::{Delivery, Direction, Key, Refusal};
pub use image::{Image, ImageConfig, Source, Taken};
pub use mux::{Streams, TIMER};
pub use post::Post;
pub use publication::{CHANNEL_MESSAGE_MAX, Claim, Phase, Publication, PublicationConfig, Refused};

#[cfg(test)]
mod tests;
