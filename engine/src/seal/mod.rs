//! Sealing: what leaves is encrypted and authenticated, what arrives is proved before it is read.
//!
//! A datagram is clear header, body, tag. The body is encrypted in the link's slot, under a key of
//! this life of its sender; header and destination are authenticated with it. The nonce is counter,
//! shard, epoch and sender: never random, never repeated, since the counter only rises and another
//! life has another key. Two ciphers share the work, each under a key of its own: AEGIS-128L starts
//! fast, AEGIS-128X4 is up to five times as fast on long bodies where the CPU encrypts 64 bytes at
//! once. The header says which; everybody opens both.
//!
//! What does not open costs one counter and nothing else: no answer, no allocation, no log line.
//! Checks go from cheap to dear, and nothing is remembered of a datagram that is not authentic.
//!
//! **What the replay rules promise.** While a receiver lives and knows a sender, each datagram is
//! taken once, and none of an earlier life of the sender. What it cannot tell is the past of a
//! sender that it does not know, after its own restart or after a long silence in a full table:
//! then old datagrams of the sender's newest life could be played to it, in rising order, until the
//! sender itself is heard. Two things stand behind that: reports are idempotent and orders fenced
//! by term and number. [`Opened::first`] is the hook for holding back what only the wire vouches
//! for. What comes with the short header ([`Brief`]) opens only where its life is known already, so
//! it can be the first of nothing. A boot further ahead of our wall clock than
//! [`Sealer::BOOT_AHEAD_MAX_NS`] is refused, so that a sender with a wild clock cannot lock its own
//! later lives out. A boot in the past says nothing: it may be a process that has run for months.

mod brief;
mod cipher;
mod keys;
mod table;
mod window;

#[cfg(test)]
mod tests;

pub use cipher::has_aes;
pub use keys::{ClusterKeys, SessionKey};
pub use window::Window;

use cipher::Cipher;
use std::fmt;
use syncom_seam::{Counter, Now, SECOND};
use syncom_wire::{Boot, Brief, Fixed, Frames, Header, PeerId};
use table::{Flow, SenderTable};

/// Why nothing can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// This CPU has no AES instructions, without which sealing would be sixty times slower.
    NoAes,
    /// This life has used up its counters; a new one (a restart) is needed. Nothing was sealed.
    Exhausted,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAes => {
                "this CPU has no AES instructions (or the hypervisor hides them): \
                 sealing needs them; choose a CPU model that passes AES through"
            }
            Self::Exhausted => "this process has sealed 2^48 datagrams: restart it",
        })
    }
}

impl std::error::Error for SealError {}

/// A datagram that proved authentic.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Who sealed it.
    pub peer: PeerId,
    /// Which life of that process.
    pub boot: Boot,
    /// Whether nothing was known of this life before: it may be an old datagram played again.
    pub first: bool,
    /// It came with the short header: the body is one frame without a header of its own.
    pub is_brief: bool,
    /// The frames.
    pub body: &'a [u8],
}

impl<'a> Opened<'a> {
    /// The frames of the body.
    #[must_use]
    pub const fn frames(&self) -> Frames<'a> {
        if self.is_brief { Frames::brief(self.body) } else { Frames::new(self.body) }
    }
}

/// Seals what one member sends on one shard, and opens what it receives.
#[derive(Debug)]
pub struct Sealer {
    is_on: bool,
    /// Long bodies are sealed with AEGIS-128X4. What arrives is opened either way.
    is_wide: bool,
    keys: ClusterKeys,
    me: PeerId,
    boot: Boot,
    shard: u16,
    key: SessionKey,
    counter: u64,
    senders: SenderTable,
}

impl Sealer {
    /// How far a sender's boot may lie ahead of our wall clock.
    pub const BOOT_AHEAD_MAX_NS: u64 = 24 * 3600 * SECOND;
    /// Datagrams of one life and shard: 325 days at ten million per second.
    pub const COUNTER_MAX: u64 = 1 << 48;
    /// Bytes of the shortest body that is sealed with AEGIS-128X4, by a CPU that is quick at it.
    pub const WIDE_MIN: usize = 1024;
    /// Bytes from which on sealing on the way is faster than copying first.
    const PASS_MIN: usize = 12 * 1024;

    /// A sealer for the member `me` in its life `boot`, with room for `senders_max` senders.
    ///
    /// # Errors
    /// [`SealError::NoAes`] on a CPU without AES instructions.
    pub fn new(
        keys: ClusterKeys,
        me: PeerId,
        boot: Boot,
        shard: u16,
        senders_max: usize,
    ) -> Result<Self, SealError> {
        if !has_aes() {
            return Err(SealError::NoAes);
        }
        Ok(Self::with(true, keys, me, boot, shard, senders_max))
    }

    /// A sealer that seals nothing: the tag is zeros and the body is clear.
    ///
    /// For measuring what sealing costs. Both ends must be configured so; it is not negotiated, and
    /// neither opens what the other kind has sent.
    #[must_use]
    pub fn off(keys: ClusterKeys, me: PeerId, boot: Boot, shard: u16, senders_max: usize) -> Self {
        Self::with(false, keys, me, boot, shard, senders_max)
    }

    fn with(
        is_on: bool,
        keys: ClusterKeys,
        me: PeerId,
        boot: Boot,
        shard: u16,
        senders_max: usize,
    ) -> Self {
        assert!(shard < SenderTable::SHARDS_MAX, "shard {shard} is beyond what receivers take");
        let key = keys.session(me, boot);
        let senders = SenderTable::new(senders_max);
        let is_wide = cipher::has_wide_aes();
        Self { is_on, is_wide, keys, me, boot, shard, key, counter: 0, senders }
    }

    /// Whether datagrams are sealed at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// In whose name this sealer seals.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.me
    }

    /// Seals in another name from now on.
    ///
    /// The counter goes on where it was, so that going back to an earlier name repeats no nonce.
    pub fn identify(&mut self, me: PeerId) {
        if me != self.me {
            self.me = me;
            self.key = self.keys.session(me, self.boot);
        }
    }

    /// Seals the body that lies in `slot` behind the room for the header, `body_len` bytes long,
    /// for one receiver or, without one, for anyone in the cluster. Returns the datagram's length.
    ///
    /// # Errors
    /// [`SealError::Exhausted`] after [`Self::COUNTER_MAX`] datagrams.
    ///
    /// # Panics
    /// When `slot` has no room for header, body and tag: a caller's bug.
    pub fn seal(
        &mut self,
        slot: &mut [u8],
        body_len: usize,
        to: Option<PeerId>,
    ) -> Result<usize, SealError> {
        let cipher = self.cipher(body_len);
        let header = self.header(cipher, to)?;
        let (image, body, tag) = split::<{ Header::SIZE }>(slot, &header, body_len);
        let to = to.unwrap_or(PeerId::ANY);
        tag.copy_from_slice(&cipher.seal(&self.key, &header, image, to, body));
        Ok(body_len + Header::OVERHEAD)
    }

    /// As [`Self::seal`], for a body in two parts that lie elsewhere. It is written to the slot and
    /// sealed; a long one is sealed on the way, so that its bytes are touched once.
    ///
    /// # Errors
    /// As [`Self::seal`].
    ///
    /// # Panics
    /// As [`Self::seal`].
    pub fn seal_parts(
        &mut self,
        slot: &mut [u8],
        parts: [&[u8]; 2],
        to: Option<PeerId>,
    ) -> Result<usize, SealError> {
        let body_len = parts[0].len() + parts[1].len();
        let cipher = self.cipher(body_len);
        let header = self.header(cipher, to)?;
        let (image, body, tag) = split::<{ Header::SIZE }>(slot, &header, body_len);
        let to = to.unwrap_or(PeerId::ANY);
        let sealed = if cipher == Cipher::Wide && body_len >= Self::PASS_MIN {
            cipher::seal_across(&self.key, &header, image, to, parts, body)
        } else {
            let (front, rest) = body.split_at_mut(parts[0].len());
            front.copy_from_slice(parts[0]);
            rest.copy_from_slice(parts[1]);
            cipher.seal(&self.key, &header, image, to, body)
        };
        tag.copy_from_slice(&sealed);
        Ok(body_len + Header::OVERHEAD)
    }

    /// How a body of that length is sealed.
    const fn cipher(&self, body_len: usize) -> Cipher {
        match body_len {
            _ if !self.is_on => Cipher::Off,
            Self::WIDE_MIN.. if self.is_wide => Cipher::Wide,
            _ => Cipher::Narrow,
        }
    }

    /// The header of the next datagram.
    fn header(&mut self, cipher: Cipher, to: Option<PeerId>) -> Result<Header, SealError> {
        if self.counter >= Self::COUNTER_MAX {
            return Err(SealError::Exhausted);
        }
        self.counter += 1;
        Ok(Header {
            version: Header::VERSION,
            flags: cipher.flag() | if to.is_none() { Header::TO_ANY } else { 0 },
            reserved: 0,
            cluster: self.keys.cluster(),
            epoch: self.keys.epoch(),
            shard: self.shard,
            sender: self.me,
            boot: self.boot,
            counter: self.counter,
        })
    }

    /// Opens a datagram where it lies.
    ///
    /// # Errors
    /// The counter that says why it was refused. Its content is then void, and of its sender
    /// nothing has been remembered.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8], now: Now) -> Result<Opened<'a>, Counter> {
        if Brief::is_of(datagram) {
            return self.open_brief(datagram, now);
        }
        let header = self.judge_header(datagram)?;
        let cipher = Cipher::of(&header, self.is_on).ok_or(Counter::DropTag)?;
        let Header { sender: peer, shard, boot, counter, .. } = header;
        match self.senders.find_next(peer, shard) {
            Some(at) if self.senders.flow(at).boot == boot => {
                let flow = self.senders.flow(at);
                if !flow.window.is_new(counter) {
                    return Err(Counter::DropReplay);
                }
                let body =
                    cipher.open::<{ Header::SIZE }>(&flow.key, &header, self.me, datagram)?;
                let flow = self.senders.flow_mut(at);
                flow.window.mark(counter);
                flow.heard = now.at;
                Ok(Opened { peer, boot, first: false, is_brief: false, body })
            }
            Some(_) | None => {
                let key = self.judge_stranger(&header, now)?;
                let body = cipher.open::<{ Header::SIZE }>(&key, &header, self.me, datagram)?;
                let window = Window::starting_at(counter);
                let flow = Flow { window, sender: peer, shard, boot, key, heard: now.at };
                if !self.senders.admit(flow, now.at) {
                    return Err(Counter::DropSender);
                }
                Ok(Opened { peer, boot, first: true, is_brief: false, body })
            }
        }
    }

    /// Opens a datagram that this life sealed itself, as when it came back; `None` when it did not.
    pub fn open_own<'a>(&self, datagram: &'a mut [u8]) -> Option<Opened<'a>> {
        let (peer, boot, first) = (self.me, self.boot, false);
        if Brief::is_of(datagram) {
            let body = self.open_own_brief(datagram)?;
            return Some(Opened { peer, boot, first, is_brief: true, body });
        }
        let header = Header::parse(datagram).ok()?;
        let is_mine = (header.cluster, header.sender) == (self.keys.cluster(), self.me)
            && (header.epoch, header.boot) == (self.keys.epoch(), self.boot)
            && (1..=self.counter).contains(&header.counter)
            && header.flags & Header::TO_ANY != 0;
        let cipher = Cipher::of(&header, self.is_on).filter(|_| is_mine)?;
        let body = cipher.open::<{ Header::SIZE }>(&self.key, &header, self.me, datagram).ok()?;
        Some(Opened { peer, boot, first, is_brief: false, body })
    }

    /// What can be told from the clear header alone.
    fn judge_header(&self, datagram: &[u8]) -> Result<Header, Counter> {
        if datagram.len() < Header::OVERHEAD {
            return Err(Counter::DropShort);
        }
        let header = Header::parse(datagram).map_err(|_| Counter::DropVersion)?;
        if header.cluster != self.keys.cluster() {
            return Err(Counter::DropForeign);
        }
        if !self.keys.is_live(header.epoch) {
            return Err(Counter::DropEpoch);
        }
        if header.shard >= SenderTable::SHARDS_MAX {
            return Err(Counter::DropSender);
        }
        let is_mirrored = header.sender == self.me && header.boot == self.boot;
        if header.counter == 0 || is_mirrored {
            return Err(Counter::DropReplay);
        }
        Ok(header)
    }

    /// The key of a life that this flow has not shown before, if it may have one.
    fn judge_stranger(&self, header: &Header, now: Now) -> Result<SessionKey, Counter> {
        if self.senders.boot_floor(header.sender).is_some_and(|floor| header.boot < floor) {
            return Err(Counter::DropStale);
        }
        if header.boot.0 > now.wall.0.saturating_add(Self::BOOT_AHEAD_MAX_NS) {
            return Err(Counter::DropNotFresh);
        }
        Ok(self.keys.session(header.sender, header.boot))
    }
}

/// Cuts a slot into the image of a header, which is written, the body, and the tag.
fn split<'a, const IMAGE: usize>(
    slot: &'a mut [u8],
    header: &impl Fixed,
    body_len: usize,
) -> (&'a [u8; IMAGE], &'a mut [u8], &'a mut [u8]) {
    let Some((image, rest)) = slot.split_first_chunk_mut() else {
        panic!("the slot has no room for a header")
    };
    let (body, rest) = rest.split_at_mut(body_len);
    let written = header.write(image);
    assert!(written.is_ok(), "the image is as long as the header");
    (image, body, &mut rest[..Header::TAG])
}
