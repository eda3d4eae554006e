//! The streams that a channel follows.

use super::Event;
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::{Origin, SECOND, Time};
use syncom_stream::{Image, ImageConfig, Source};
use syncom_wire::stream::{StreamDataHead, StreamReset};

/// Images of the streams that are listened to, up to a bound.
///
/// Nothing gets in that is not authentic and on a lane that the application listens to. When all
/// places are taken, a stream that was quiet for long makes room; when none was, the new one waits.
#[derive(Debug)]
pub(super) struct Images {
    list: Vec<Image>,
    lanes: Vec<u16>,
    config: ImageConfig,
    most: usize,
    /// Whose fragment came last: mostly it is that one's turn again.
    latest: usize,
}

impl Images {
    /// A stream that was silent for so long may make room for another.
    const QUIET_NS: u64 = 10 * SECOND;

    pub(super) fn new(config: ImageConfig, most: usize) -> Self {
        let (list, lanes) = (Vec::with_capacity(most), Vec::with_capacity(most));
        Self { list, lanes, config, most, latest: 0 }
    }

    /// Listens to a lane; false when there are too many.
    pub(super) fn listen(&mut self, lane: u16) -> bool {
        let is_known = self.lanes.contains(&lane);
        if !is_known && self.lanes.len() < self.most {
            self.lanes.push(lane);
        }
        is_known || self.lanes.contains(&lane)
    }

    /// Whether nothing is listened to.
    pub(super) fn is_deaf(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Image> {
        self.list.get_mut(at)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Image> {
        self.list.iter_mut()
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Image> {
        self.latest = 0;
        (at < self.list.len()).then(|| self.list.swap_remove(at))
    }

    /// The image that a fragment is for, made if it may be; `None` when the fragment is for nobody.
    #[inline]
    pub(super) fn of(
        &mut self,
        now: Time,
        from: &Origin,
        head: &StreamDataHead,
        events: &mut BoundedQueue<Event>,
    ) -> Option<(usize, &mut Image)> {
        let source =
            Source { peer: from.peer, boot: from.boot, lane: head.lane, session: head.session };
        if self.list.get(self.latest).is_none_or(|image| image.source() != source) {
            self.latest = self.find(now, source, from, head, events)?;
        }
        Some((self.latest, self.list.get_mut(self.latest)?))
    }

    #[cold]
    fn find(
        &mut self,
        now: Time,
        source: Source,
        from: &Origin,
        head: &StreamDataHead,
        events: &mut BoundedQueue<Event>,
    ) -> Option<usize> {
        let is_sibling = |image: &Image| {
            let known = image.source();
            (known.peer, known.lane) == (source.peer, source.lane)
        };
        let at = match self.list.iter().position(is_sibling) {
            Some(at) => {
                let known = self.list.get(at)?;
                let (old, new) = (known.source(), source);
                if (old.boot, old.session) >= (new.boot, new.session) {
                    return (old == new).then_some(at);
                }
                at
            }
            None if !self.lanes.contains(&head.lane) => return None,
            None if self.list.len() < self.most => self.list.len(),
            None => {
                let quiet = |image: &&Image| now.since(image.heard()) >= Self::QUIET_NS;
                let oldest = self.list.iter().filter(quiet).map(Image::heard).min()?;
                self.list.iter().position(|image| image.heard() == oldest)?
            }
        };
        let image = Image::join(&self.config, source, from.addr, now, head)?;
        let _ = events.push(Event::Joined(source, image.position()));
        if let Some(old) = self.list.get_mut(at) {
            if !old.has_ended() {
                let _ = events.push(Event::Lost(old.source()));
            }
            *old = image;
        } else {
            self.list.push(image);
        }
        Some(at)
    }

    /// A sender says where its stream ends.
    pub(super) fn on_end(&mut self, now: Time, from: &Origin, reset: &StreamReset) {
        let source =
            Source { peer: from.peer, boot: from.boot, lane: reset.lane, session: reset.session };
        if let Some(image) = self.list.iter_mut().find(|image| image.source() == source) {
            image.on_end(now, reset.position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::{Addr, Boot, PeerId};

    const NOW: Time = Time(100 * SECOND);

    fn origin(peer: u64, boot: u64) -> Origin {
        let addr = Addr::v4([10, 0, 0, 1], 9);
        Origin { peer: PeerId::client(peer), boot: Boot(boot), addr, heard: NOW }
    }

    fn head(session: u64) -> StreamDataHead {
        let (lane, position, oldest) = (1, 0, 0);
        StreamDataHead { lane, first: 0, session, position, oldest, stamp_us: 1, pace: 0 }
    }

    /// Whose image a set-up got, if it got one.
    fn set_up(images: &mut Images, peer: u64, boot: u64, session: u64) -> Option<Source> {
        let mut events = BoundedQueue::new(4);
        let of = images.of(NOW, &origin(peer, boot), &head(session), &mut events);
        of.map(|(_, image)| image.source())
    }

    fn listening(most: usize) -> Images {
        let mut images = Images::new(ImageConfig::default(), most);
        assert!(images.listen(1));
        images
    }

    #[test]
    fn who_begins_anew_again_and_again_takes_one_place_and_replays_change_nothing() {
        let mut images = listening(8);
        for session in 1..10_000 {
            assert_eq!(set_up(&mut images, 1, 5, session).map(|of| of.session), Some(session));
            assert_eq!(images.len(), 1);
        }
        for (boot, session) in [(5, 1), (5, 9_998), (4, 20_000)] {
            assert_eq!(set_up(&mut images, 1, boot, session), None, "{boot} {session}");
        }
        assert_eq!(images.get_mut(0).map(|image| image.source().session), Some(9_999));
    }

    #[test]
    fn set_ups_of_many_fill_the_table_and_displace_nobody_who_speaks() {
        let mut images = listening(4);
        let taken = (1..1_000).filter(|peer| set_up(&mut images, *peer, 1, 1).is_some()).count();
        assert_eq!((taken, images.len()), (4, 4));
        assert!(set_up(&mut images, 1, 1, 1).is_some(), "the first is still followed");
    }
}
