//! Pulling from an image at hand.

use super::*;
use crate::raft::conf::Conf;

const fn head(from: u64) -> RaftHead {
    RaftHead {
        kind: 7,
        reject: 0,
        entries: 1,
        reserved: 0,
        to: 1,
        from,
        term: 3,
        log_term: 0,
        index: 0,
        commit: 0,
        commit_term: 0,
        request_snapshot: 0,
        reject_hint: 0,
        priority: 0,
        generation: 0,
    }
}

fn image(len: u32) -> Image {
    let data = (0..len).map(|i| i.to_le_bytes()[1]).collect();
    Image::new(9, 3, &Conf::new(vec![1, 2], Vec::new()), data)
}

fn asks(pull: &mut Pull, now: Time) -> Vec<SnapshotAsk> {
    std::iter::from_fn(|| pull.ask(now)).collect()
}

/// Answers everything that is asked, each part after `delay_ns`; the most that was under way.
fn pull_all(image: &Image, delay_ns: u64) -> (Pull, usize) {
    let mut pull = Pull::new(head(2), image.manifest.clone(), Time(0));
    let (mut now, mut most) = (Time(0), 0);
    let mut under_way: VecDeque<SnapshotAsk> = VecDeque::new();
    loop {
        under_way.extend(asks(&mut pull, now));
        most = most.max(under_way.len());
        let ask = under_way.pop_front().unwrap();
        now = now.after(delay_ns);
        match pull.on_chunk(&image.chunk(&ask), now) {
            Pulled::More => {}
            Pulled::Whole => return (pull, most),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_snapshot_is_pulled_in_parts_and_verified() {
    for len in [0, 1, 65_536, 65_537, 2_000_000] {
        let image = image(len);
        let manifest = Manifest::decode(&image.manifest.encode()).unwrap();
        assert_eq!(manifest, image.manifest);
        let (pull, _) = pull_all(&image, MS);
        assert_eq!(pull.into_image(), image, "{len}");
    }
}

#[test]
fn a_quick_path_is_kept_busy_and_a_slow_one_is_not_filled() {
    let image = image(4_000_000);
    assert_eq!(pull_all(&image, MS).1, WINDOW_MAX);
    assert_eq!(pull_all(&image, 2 * SOON_NS).1, 1);
}

#[test]
fn repetitions_and_parts_behind_a_gap_change_nothing() {
    let image = image(400_000);
    let mut pull = Pull::new(head(2), image.manifest.clone(), Time(0));
    let first = asks(&mut pull, Time(0))[0];
    assert_eq!(pull.on_chunk(&image.chunk(&first), Time(0)), Pulled::More);
    assert_eq!(pull.on_chunk(&image.chunk(&first), Time(0)), Pulled::Foreign, "a repetition");
    let next = asks(&mut pull, Time(0));
    assert_eq!(next.len(), 2);
    assert_eq!(pull.on_chunk(&image.chunk(&next[1]), Time(0)), Pulled::Foreign, "a gap");
}

/// Nobody fills this replica's memory faster than it wants, nor beyond what was announced.
#[test]
fn what_was_not_asked_for_is_not_taken() {
    let image = image(400_000);
    let mut pull = Pull::new(head(2), image.manifest.clone(), Time(0));
    let ask = SnapshotAsk { index: 9, term: 3, offset: 0, reserved: 0 };
    assert_eq!(pull.on_chunk(&image.chunk(&ask), Time(0)), Pulled::Foreign);
    assert_eq!(pull.held_bytes(), 0);
    let asked = asks(&mut pull, Time(0))[0];
    let whole = SnapshotChunk { data: &image.data, ..image.chunk(&asked) };
    assert_eq!(pull.on_chunk(&whole, Time(0)), Pulled::Broken, "more than a part");
}

#[test]
fn a_reset_or_another_leader_costs_only_what_was_under_way() {
    let image = image(1_000_000);
    let mut pull = Pull::new(head(2), image.manifest.clone(), Time(0));
    for _ in 0..5 {
        let ask = asks(&mut pull, Time(0))[0];
        assert_eq!(pull.on_chunk(&image.chunk(&ask), Time(0)), Pulled::More);
        pull.restart(Time(0));
    }
    pull.adopt(head(3), Time(0));
    let again = asks(&mut pull, Time(0));
    assert_eq!((again.len(), again[0].offset), (1, 5 * SNAPSHOT_CHUNK as u64));
}

#[test]
fn damaged_bytes_are_noticed() {
    let mut image = image(100);
    let mut pull = Pull::new(head(2), image.manifest.clone(), Time(0));
    Arc::get_mut(&mut image.data).unwrap()[50] ^= 1;
    let ask = asks(&mut pull, Time(0))[0];
    assert_eq!(pull.on_chunk(&image.chunk(&ask), Time(0)), Pulled::Broken);
}

#[test]
fn silence_ends_a_pull() {
    let mut pull = Pull::new(head(2), image(100).manifest, Time(0));
    let (mut now, mut asked) = (Time(0), 0);
    while let Some(again) = pull.on_tick(now) {
        asked += u32::from(again);
        now = now.after(100 * MS);
    }
    assert_eq!(asked, TRIES_MAX - 1);
}

#[test]
fn a_manifest_alone_costs_little_memory() {
    let manifest = Manifest { total: 1 << 30, ..image(200_000).manifest };
    let mut pull = Pull::new(head(2), manifest.clone(), Time(0));
    let ask = asks(&mut pull, Time(0))[0];
    let mut chunk = image(200_000);
    chunk.manifest = manifest;
    assert_eq!(pull.on_chunk(&chunk.chunk(&ask), Time(0)), Pulled::More);
    assert!(pull.data.capacity() <= GROWTH);
}
