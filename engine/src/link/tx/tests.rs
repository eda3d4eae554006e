use super::*;

const A: Addr = Addr::v4([10, 0, 0, 1], 1);
const B: Addr = Addr::v4([10, 0, 0, 2], 2);

fn put(batch: &mut TxBatch, to: Addr, bytes: &[u8]) -> bool {
    let Some(room) = batch.claim(to, bytes.len()) else { return false };
    room.copy_from_slice(bytes);
    batch.commit(bytes.len());
    true
}

#[test]
fn the_same_bytes_go_to_many_without_a_copy() {
    let mut batch = TxBatch::new(4, 8);
    assert!(put(&mut batch, A, b"once") && batch.again(B) && batch.again(A));
    assert!(batch.iter().all(|queued| batch.of(&queued) == b"once"));
    assert_eq!(batch.bytes(), b"once");
}

#[test]
fn a_full_batch_refuses_until_everything_was_sent() {
    let mut batch = TxBatch::new(4, 2);
    assert!(put(&mut batch, A, b"ab") && !put(&mut batch, A, b"abc"));
    assert!(put(&mut batch, A, b"cd") && !batch.again(B) && !put(&mut batch, A, b""));
    batch.sent(1);
    assert!(!put(&mut batch, A, b"e"));
    batch.sent(1);
    assert!(!batch.again(B), "the bytes are gone");
    assert!(put(&mut batch, A, b"e"));
}

#[test]
#[should_panic(expected = "more than was claimed")]
fn committing_more_than_was_claimed_is_a_bug() {
    let mut batch = TxBatch::new(4, 2);
    let _ = batch.claim(A, 2);
    batch.commit(3);
}

/// How many datagrams each message has.
fn counts(datagrams: &[(Addr, usize)]) -> Vec<usize> {
    let mut batch = TxBatch::new(1 << 20, 1000);
    datagrams.iter().for_each(|(to, len)| assert!(put(&mut batch, *to, &vec![7; *len])));
    batch.messages(0).map(|run| run.count()).collect()
}

#[test]
fn a_run_ends_at_another_destination_a_longer_datagram_or_after_a_shorter_one() {
    assert_eq!(counts(&[(A, 9), (A, 9), (B, 9)]), [2, 1]);
    assert_eq!(counts(&[(A, 9), (A, 10)]), [1, 1]);
    assert_eq!(counts(&[(A, 9), (A, 9), (A, 5), (A, 5), (A, 9)]), [3, 1, 1]);
    assert_eq!(counts(&[(A, 9), (A, 0), (A, 9)]), [1, 1, 1]);
    assert_eq!(counts(&[(A, 0), (A, 0)]), [1, 1]);
    assert_eq!(counts(&[]), []);
}

#[test]
fn a_run_stays_within_what_one_message_can_carry() {
    assert_eq!(counts(&[(A, 1); 100]), [SEGMENTS_MAX, 36]);
    assert_eq!(counts(&[(A, MTU); 100])[0], MESSAGE_BYTES_MAX / MTU);
    assert_eq!(counts(&[(A, MTU + 1); 2]), [2]);
    assert_eq!(counts(&[(A, 40_000); 2]), [1, 1]);
}

#[test]
fn the_same_bytes_to_the_same_destination_are_no_run() {
    let mut batch = TxBatch::new(100, 10);
    assert!(put(&mut batch, A, b"nine byte") && batch.again(A));
    assert!(put(&mut batch, A, b"nine more"));
    assert!(batch.messages(0).all(|run| run.count() == 1));
    assert_eq!(batch.iter().last().map(|queued| batch.of(&queued)), Some(&b"nine more"[..]));
}

#[test]
fn datagrams_leave_from_the_head_and_from_the_middle() {
    for singles in [0, 3, 100] {
        let mut batch = TxBatch::new(100, 20);
        for text in [b"a1", b"a2", b"a3", b"a4", b"a5"] {
            assert!(put(&mut batch, A, text));
        }
        assert!(put(&mut batch, B, b"b1") && put(&mut batch, B, b"b"));
        batch.sent(1);
        batch.sent_early(1, 1);
        batch.sent_early(3, 2);
        let left: Vec<_> = batch.iter().map(|queued| batch.of(&queued).to_vec()).collect();
        assert_eq!((left, batch.pending()), (vec![b"a2".into(), b"a4".into(), b"a5".into()], 3));
        let messages: Vec<_> = batch.messages(singles).map(|run| run.count()).collect();
        assert_eq!(messages, if singles == 0 { vec![1, 2] } else { vec![1, 1, 1] });
        batch.sent_early(2, 1);
        batch.sent_early(0, 1);
        batch.sent(1);
        assert!(batch.pending() == 0 && batch.bytes().is_empty() && !batch.again(A));
    }
}

#[test]
fn what_goes_on_as_before_is_seen_whenever_one_looks() {
    let mut batch = TxBatch::new(100, 10);
    for count in 1..=5 {
        assert!(put(&mut batch, A, &[count; 3]));
        let lens: Vec<_> = batch.iter().map(|queued| batch.of(&queued).to_vec()).collect();
        assert_eq!(lens, (1..=count).map(|n| vec![n; 3]).collect::<Vec<_>>());
        let messages: Vec<_> = batch.messages(0).map(|run| (run.count(), run.range())).collect();
        assert_eq!(messages, [(count.into(), 0..3 * usize::from(count))]);
        assert_eq!(batch.pending(), count.into());
    }
    batch.sent(2);
    assert!(put(&mut batch, A, &[6; 3]) && batch.again(A) && put(&mut batch, A, &[7; 3]));
    let firsts: Vec<_> = batch.iter().map(|queued| batch.of(&queued)[0]).collect();
    assert_eq!((firsts, batch.pending()), (vec![3, 4, 5, 6, 6, 7], 6));
}

#[test]
fn a_batch_that_is_full_of_one_run_refuses_too() {
    let mut batch = TxBatch::new(100, 3);
    assert!((0..3).all(|_| put(&mut batch, A, b"abc")) && !put(&mut batch, A, b"abc"));
    assert_eq!(batch.messages(0).map(|run| run.count()).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_datagram_is_lone_until_another_is_queued_or_it_is_sent() {
    let mut batch = TxBatch::new(16, 4);
    assert_eq!(batch.lone(A), None);
    assert!(put(&mut batch, A, b"ab"));
    assert_eq!((batch.lone(A), batch.lone(B)), (Some(&b"ab"[..]), None));
    for next in [&b"cd"[..], b"e", b"fgh"] {
        assert!(put(&mut batch, A, next));
        assert_eq!(batch.lone(A), None);
    }
    batch.sent(3);
    // What is queued behind what was sent may not be told from many.
    assert!(batch.lone(A).is_none_or(|bytes| bytes == b"fgh"));
    batch.sent(1);
    assert!(batch.lone(A).is_none() && put(&mut batch, B, b"") && batch.lone(B) == Some(&b""[..]));
}
