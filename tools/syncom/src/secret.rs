//! The cluster's secret: 32 bytes in a file that only its owner may read.

use crate::exit::{Failure, file_failure};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// First word of the file: its format.
const FORMAT: &str = "syncom-secret-v1";

/// A secret and the cluster that it belongs to. Its bytes never appear in messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Name of the cluster.
    pub cluster: String,
    /// The bytes.
    pub bytes: [u8; 32],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Secret {
    /// Draws a new secret from the kernel.
    ///
    /// # Errors
    /// When the kernel's random source cannot be read.
    pub fn draw(cluster: &str) -> Result<Self, Failure> {
        let mut bytes = [0; 32];
        let source = Path::new("/dev/urandom");
        File::open(source)
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map_err(|error| file_failure("read", source, &error))?;
        Ok(Self { cluster: cluster.into(), bytes })
    }

    /// Writes the secret to a new file with mode 0600.
    ///
    /// # Errors
    /// When the file exists already or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                writeln!(file, "{FORMAT} {} {hex}", self.cluster)?;
                file.sync_all()
            })
            .map_err(|error| file_failure("write the secret", path, &error))
    }

    /// Reads a secret; refuses a file that others may read.
    ///
    /// # Errors
    /// Says what is wrong with the file and how to repair it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        let mut file =
            File::open(path).map_err(|error| file_failure("read the secret", path, &error))?;
        let mode = file.metadata().map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(Failure::usage(format!(
                "the secret {} may be read by others (mode {:03o}); type: chmod 600 {0}",
                path.display(),
                mode & 0o777
            )));
        }
        file.read_to_string(&mut text)
            .map_err(|error| file_failure("read the secret", path, &error))?;
        Self::parse(&text).ok_or_else(|| {
            Failure::usage(format!(
                "{} is not a secret of Syncom; expected one line: {FORMAT} NAME and 64 \
                 hexadecimal digits, as `syncom init` writes it",
                path.display()
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (FORMAT, Some(cluster), Some(hex), None) =
            (words.next()?, words.next(), words.next(), words.next())
        else {
            return None;
        };
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self { cluster: cluster.into(), bytes })
    }
}

/// The user that this process runs as.
#[must_use]
pub fn user() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_the_file_and_never_shows_itself() {
        let secret = Secret { cluster: "lab".into(), bytes: [0xAB; 32] };
        let text = format!("{FORMAT} lab {}\n", "ab".repeat(32));
        assert_eq!(Secret::parse(&text), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains("171"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "x", "syncom-secret-v1 lab abc", "syncom-secret-v1 lab é"] {
            assert_eq!(Secret::parse(text), None);
        }
    }
}
