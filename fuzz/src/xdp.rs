//! Frames as a network card receives them.

use syncom_engine::link::xdp::{Parsed, parse};

/// Ethernet, IP and UDP around a payload: what is accepted lies within the frame, and neither what
/// follows the frame nor its Ethernet addresses make a difference.
pub fn xdp_frame(data: &[u8]) {
    let Ok(parsed) = parse(data) else { return };
    let Parsed { payload, .. } = &parsed;
    assert!(payload.start <= payload.end && payload.end <= data.len(), "{parsed:?}");
    let mut other = data.to_vec();
    other.push(0xee);
    other[..12].fill(0xff);
    assert_eq!(parse(&other).as_ref(), Ok(&parsed), "from somebody else, and padded");
}
