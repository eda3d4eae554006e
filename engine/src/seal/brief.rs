//! Datagrams with the short header.

use super::cipher::Cipher;
use super::{Opened, SealError, Sealer, SenderTable, split};
use syncom_seam::{Counter, Now};
use syncom_wire::{Brief, Fixed as _, PeerId};

impl Sealer {
    /// Seals the body that lies in `slot` behind the room for the short header, `body_len` bytes
    /// long, for anyone who knows this life already. Returns the datagram's length.
    ///
    /// # Errors
    /// As [`Self::seal`].
    ///
    /// # Panics
    /// When `slot` has no room for header, body and tag: a caller's bug.
    pub fn seal_brief(&mut self, slot: &mut [u8], body_len: usize) -> Result<usize, SealError> {
        let cipher = if self.is_on { Cipher::Narrow } else { Cipher::Off };
        let header = self.header(cipher, None)?;
        let Some(brief) = Brief::of(&header) else { panic!("what we seal for anyone fits") };
        let (image, body, tag) = split::<{ Brief::SIZE }>(slot, &brief, body_len);
        tag.copy_from_slice(&cipher.seal(&self.key, &header, image, PeerId::ANY, body));
        Ok(body_len + Brief::OVERHEAD)
    }

    /// Opens a datagram with the short header, where its sender's life is known.
    pub(super) fn open_brief<'a>(
        &mut self,
        datagram: &'a mut [u8],
        now: Now,
    ) -> Result<Opened<'a>, Counter> {
        if datagram.len() < Brief::OVERHEAD {
            return Err(Counter::DropShort);
        }
        let brief = Brief::parse(datagram).map_err(|_| Counter::DropVersion)?;
        if brief.cluster != self.keys.cluster() {
            return Err(Counter::DropForeign);
        }
        let shard = u16::from(brief.shard);
        if shard >= SenderTable::SHARDS_MAX {
            return Err(Counter::DropSender);
        }
        let epoch = self.keys.epoch();
        if brief.sender == self.me && brief.mark == Brief::mark_of(self.boot, epoch) {
            return Err(Counter::DropReplay);
        }
        let at = self.senders.find_next(brief.sender, shard).ok_or(Counter::DropBrief)?;
        let flow = self.senders.flow(at);
        if brief.mark != Brief::mark_of(flow.boot, epoch) {
            return Err(Counter::DropBrief);
        }
        let header = brief.whole(flow.boot, epoch, flow.window.highest());
        if header.counter == 0 || !flow.window.is_new(header.counter) {
            return Err(Counter::DropReplay);
        }
        let cipher = Cipher::of(&header, self.is_on).ok_or(Counter::DropTag)?;
        let body = cipher.open::<{ Brief::SIZE }>(&flow.key, &header, self.me, datagram)?;
        let flow = self.senders.flow_mut(at);
        flow.window.mark(header.counter);
        flow.heard = now.at;
        Ok(Opened { peer: header.sender, boot: header.boot, first: false, is_brief: true, body })
    }

    /// Opens one that this life sealed itself.
    pub(super) fn open_own_brief<'a>(&self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let brief = Brief::parse(datagram).ok()?;
        let header = brief.whole(self.boot, self.keys.epoch(), self.counter);
        let is_mine = (brief.cluster, brief.sender) == (self.keys.cluster(), self.me)
            && (brief.mark, header.shard)
                == (Brief::mark_of(self.boot, self.keys.epoch()), self.shard)
            && (1..=self.counter).contains(&header.counter);
        let cipher = Cipher::of(&header, self.is_on).filter(|_| is_mine)?;
        cipher.open::<{ Brief::SIZE }>(&self.key, &header, self.me, datagram).ok()
    }
}
