//! Keys: from the cluster's secret to the key of one life of one process.
//!
//! In shared mode every member holds the cluster's secret, so the seal says "a member of this
//! cluster" and no more: one stolen node can speak for all. Keys per node come in here and change
//! nothing outside: whoever seals or opens asks [`ClusterKeys::session`] only.

use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use syncom_wire::{Boot, PeerId, ids};
use zeroize::Zeroize as _;

/// The keys of one (sender, boot), one for each cipher: AEGIS has no key schedule, so they cost 32
/// bytes per sender.
#[derive(Clone)]
pub struct SessionKey {
    narrow: [u8; 16],
    wide: [u8; 16],
}

impl SessionKey {
    /// The key for AEGIS-128L.
    #[must_use]
    pub const fn narrow(&self) -> &[u8; 16] {
        &self.narrow
    }

    /// The key for AEGIS-128X4.
    #[must_use]
    pub const fn wide(&self) -> &[u8; 16] {
        &self.wide
    }
}

impl Drop for SessionKey {
    fn drop(&mut self) {
        self.narrow.zeroize();
        self.wide.zeroize();
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// What a member must hold to seal and to open: the cluster's mark and the epoch's secret.
#[derive(Clone)]
pub struct ClusterKeys {
    cluster: u32,
    epoch: u16,
    epoch_secret: [u8; 32],
}

impl ClusterKeys {
    /// The epoch of a cluster whose keys were never rotated.
    pub const FIRST_EPOCH: u16 = 1;
    /// Names the suite in every key. What is expanded under it is cut in two, so that no key
    /// serves two ciphers.
    const SUITE: &'static [u8] = b"AEGIS-128L";

    /// The keys of `epoch` in the cluster of that name (its UUID, or what a person called it).
    ///
    /// E = HKDF-Extract(salt = cluster, secret ‖ epoch), RFC 5869 with SHA-256. `secret` must be
    /// random, not a password.
    #[must_use]
    pub fn new(cluster: &str, secret: &[u8; 32], epoch: u16) -> Self {
        let mut material = [0; 34];
        material[..32].copy_from_slice(secret);
        material[32..].copy_from_slice(&epoch.to_le_bytes());
        let (mut extracted, _) = Hkdf::<Sha256>::extract(Some(cluster.as_bytes()), &material);
        material.zeroize();
        let mut epoch_secret = [0; 32];
        epoch_secret.copy_from_slice(&extracted);
        extracted.as_mut_slice().zeroize();
        Self { cluster: mark(cluster), epoch, epoch_secret }
    }

    /// The mark in every header: a hash of the cluster's name.
    #[must_use]
    pub const fn cluster(&self) -> u32 {
        self.cluster
    }

    /// The epoch to seal under.
    #[must_use]
    pub const fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Whether datagrams under `epoch` may be opened. One epoch is live until rotation brings a
    /// second.
    #[must_use]
    pub const fn is_live(&self, epoch: u16) -> bool {
        self.epoch == epoch
    }

    /// The keys of one life of one sender: HKDF-Expand(E, "syncom session" ‖ sender ‖ boot ‖ suite),
    /// the first 16 bytes for AEGIS-128L, the next 16 for AEGIS-128X4. SHA-256 yields both at once.
    #[must_use]
    pub fn session(&self, sender: PeerId, boot: Boot) -> SessionKey {
        let mut keys = [[0; 16]; 2];
        let info: [&[u8]; 4] =
            [b"syncom session", &sender.0.to_le_bytes(), &boot.0.to_le_bytes(), Self::SUITE];
        let expanded = Hkdf::<Sha256>::from_prk(&self.epoch_secret)
            .is_ok_and(|hkdf| hkdf.expand_multi_info(&info, keys.as_flattened_mut()).is_ok());
        assert!(expanded, "32 bytes of secret and of keys are within HKDF's bounds");
        let session = SessionKey { narrow: keys[0], wide: keys[1] };
        keys.zeroize();
        session
    }
}

impl Drop for ClusterKeys {
    fn drop(&mut self) {
        self.epoch_secret.zeroize();
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKeys {{ cluster: {:08x}, epoch: {}, .. }}", self.cluster, self.epoch)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of the hash is enough for a mark")]
const fn mark(cluster: &str) -> u32 {
    ids::hash(cluster.as_bytes()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_name_makes_another_key() {
        let base = ClusterKeys::new("lab", &[7; 32], 1);
        let key = |keys: &ClusterKeys, peer, boot| {
            let session = keys.session(PeerId(peer), Boot(boot));
            assert_ne!(session.narrow, session.wide);
            session.narrow
        };
        let keys = [
            key(&base, 1, 1),
            key(&base, 2, 1),
            key(&base, 1, 2),
            key(&ClusterKeys::new("lab", &[7; 32], 2), 1, 1),
            key(&ClusterKeys::new("lab", &[8; 32], 1), 1, 1),
            key(&ClusterKeys::new("prod", &[7; 32], 1), 1, 1),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one), "key {at}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let keys = ClusterKeys::new("lab", &[0xAB; 32], 1);
        let text = format!("{keys:?} {:?}", keys.session(PeerId(1), Boot(1)));
        assert!(text.ends_with("epoch: 1, .. } SessionKey(..)"), "{text}");
    }
}
