//! Golden datagrams: the bytes of every frame, committed in `golden/`.
//!
//! A difference means that the wire has changed: old and new members would no longer understand
//! each other. Write them anew, with `cargo x golden --write`, only together with a new version.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod samples;

use samples::{Source, encoded, every_kind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::ids::{Boot, PeerId, Slot};
use syncom_wire::{Brief, Fixed as _, Frame, FrameHeader, Frames, Header, Kind};

/// File name to contents.
fn goldens() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    every_kind(&mut Source::counting(), &mut |kind, bytes, _| {
        let name = format!("{:02}-{}.hex", kind as u8, kind.name());
        files.insert(name, hex(&format!("{} ({})", kind.name(), kind as u8), &bytes));
    });
    files.insert("datagram.hex".into(), hex("An opened datagram, tag taken off", &datagram()));
    files.insert("brief.hex".into(), hex("The same with the short header", &brief()));
    files
}

const HEADER: Header = Header {
    version: Header::VERSION,
    flags: Header::TO_ANY,
    reserved: 0,
    cluster: 0x0403_0201,
    epoch: 0x0605,
    shard: 0x0807,
    sender: PeerId::satellite(9),
    boot: Boot(0x1716_1514_1312_1110),
    counter: 0x1F1E_1D1C_1B1A_1918,
};

/// A short header, and a beat without a header of its own.
fn brief() -> Vec<u8> {
    let mut bytes = vec![0; Brief::SIZE];
    let header = Header { shard: 7, sender: PeerId::agent(Slot(9)), ..HEADER };
    Brief::of(&header).unwrap().write(&mut bytes).unwrap();
    every_kind(&mut Source::counting(), &mut |kind, frame, _| {
        if kind == Kind::Beat {
            bytes.extend(&frame[FrameHeader::SIZE..]);
        }
    });
    bytes
}

/// A clear header, a heartbeat and two more frames.
fn datagram() -> Vec<u8> {
    let mut bytes = vec![0; Header::SIZE];
    HEADER.write(&mut bytes).unwrap();
    every_kind(&mut Source::counting(), &mut |kind, frame, _| {
        if matches!(kind, Kind::Heartbeat | Kind::Report | Kind::StreamData) {
            bytes.extend(frame);
        }
    });
    bytes
}

fn hex(title: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {title}, {} bytes\n", bytes.len());
    for line in bytes.chunks(16) {
        let pairs: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{}", pairs.join(" ")).unwrap();
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .flat_map(str::split_ascii_whitespace)
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[test]
fn the_bytes_of_every_frame_are_the_committed_ones() {
    let (folder, goldens) = (folder(), goldens());
    if std::env::var_os("SYNCOM_GOLDEN_WRITE").is_some() {
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &goldens {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &goldens {
        let committed = fs::read_to_string(folder.join(name))
            .unwrap_or_else(|error| panic!("golden/{name}: {error}; see cargo x golden --write"));
        assert_eq!(&committed, text, "golden/{name} differs: the wire has changed");
    }
    let present = fs::read_dir(&folder).unwrap().count();
    assert_eq!(present, goldens.len(), "golden/ holds files of kinds that no longer exist");
}

#[test]
fn the_committed_bytes_parse_into_the_frames_that_made_them() {
    every_kind(&mut Source::counting(), &mut |kind, _, frame| {
        let path = folder().join(format!("{:02}-{}.hex", kind as u8, kind.name()));
        let bytes = unhex(&fs::read_to_string(path).unwrap());
        assert_eq!(Frames::new(&bytes).collect::<Vec<_>>(), [Ok(frame)]);
    });
}

#[test]
fn the_committed_datagram_opens_into_its_three_frames() {
    let bytes = unhex(&fs::read_to_string(folder().join("datagram.hex")).unwrap());
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.sender, header.epoch, header.shard), (PeerId::satellite(9), 0x0605, 0x0807));
    let kinds: Vec<u8> = Frames::new(&bytes[Header::SIZE..]).map(|f| f.unwrap().kind()).collect();
    assert_eq!(kinds, [Kind::Heartbeat as u8, Kind::Report as u8, Kind::StreamData as u8]);
}

#[test]
fn the_committed_brief_datagram_opens_into_its_one_frame() {
    let bytes = unhex(&fs::read_to_string(folder().join("brief.hex")).unwrap());
    assert_eq!(bytes.len(), Brief::SIZE + 16);
    let brief = Brief::read(&bytes).unwrap();
    assert!(Brief::is_of(&bytes) && brief.sender == PeerId::agent(Slot(9)));
    let whole = brief.whole(HEADER.boot, HEADER.epoch, HEADER.counter - 5);
    assert_eq!((whole.counter, whole.shard), (HEADER.counter, 7));
    let frames: Vec<_> = Frames::brief(&bytes[Brief::SIZE..]).collect();
    assert!(matches!(frames[..], [Ok(Frame::Beat(beat))] if beat.seq == 0x0807_0605));
    for len in 0..16 {
        let cut: Vec<_> = Frames::brief(&bytes[Brief::SIZE..][..len]).collect();
        assert!(len == 0 && cut.is_empty() || matches!(cut[..], [Err(_)]), "cut to {len}");
    }
    let longer = [&bytes[Brief::SIZE..], &[0]].concat();
    assert!(matches!(Frames::brief(&longer).collect::<Vec<_>>()[..], [Err(_)]));
}

#[test]
fn every_kind_has_a_sample() {
    let mut seen = Vec::new();
    every_kind(&mut Source::counting(), &mut |kind, _, _| seen.push(kind));
    seen.sort_unstable();
    assert_eq!(seen, Kind::ALL);
}

#[test]
fn a_moved_field_shows_in_the_bytes() {
    let mut heartbeat = Heartbeat::read(&(1..=60).collect::<Vec<u8>>()).unwrap();
    let before = encoded(&heartbeat);
    core::mem::swap(&mut heartbeat.slot.0, &mut heartbeat.incarnation.0);
    assert_ne!(before, encoded(&heartbeat));
}
