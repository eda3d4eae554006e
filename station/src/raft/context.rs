//! What tells one round of reads from every other.

use syncom_wire::{Boot, Malformed};

/// Names a round of reads.
///
/// Of two equal names the library answers only one, so a name holds who asks, in which life, and
/// the number of the round in that life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadContext {
    /// Raft id of the replica that asks.
    pub(crate) node: u64,
    pub(crate) boot: Boot,
    pub(crate) number: u64,
}

impl ReadContext {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.node, self.boot.0, self.number].map(u64::to_le_bytes).as_flattened().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let [node, boot, number] = numbers else {
            return Err(Malformed("context that is no round of reads"));
        };
        if !rest.is_empty() {
            return Err(Malformed("context that is no round of reads"));
        }
        let [node, boot, number] = [node, boot, number].map(|bytes| u64::from_le_bytes(*bytes));
        Ok(Self { node, boot: Boot(boot), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_the_round_trip_and_nothing_else_is_one() {
        let context = ReadContext { node: 3, boot: Boot(77), number: 9 };
        let bytes = context.encode();
        assert_eq!(bytes.len(), 24);
        assert_eq!(ReadContext::decode(&bytes), Ok(context));
        assert!(ReadContext::decode(&bytes[1..]).is_err());
        assert!(ReadContext::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
}
