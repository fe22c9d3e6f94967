//! Signed frames ⇄ messages.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use jupyter_protocol::JupyterMessage;
use serde_json::{Value, json};
use sha2::Sha256;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Why frames are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A part is missing.
    #[error("no <IDS|MSG>, or too few parts after it")]
    Incomplete,
    /// Somebody without the key wrote it, or it was damaged.
    #[error("wrong signature")]
    Signature,
    /// A part is not the JSON that it must be.
    #[error("not a message: {0}")]
    Content(String),
}

/// The key of a connection: signs what is sent and checks what is received.
#[derive(Clone)]
pub struct Signer {
    key: Vec<u8>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// From a connection file; an empty key means that nothing is signed.
    pub fn new(key: &str) -> Self {
        Self { key: key.as_bytes().to_vec() }
    }

    /// Reads frames as they come from a socket.
    ///
    /// # Errors
    /// See [`WireError`]; nothing about the frames can make it panic.
    pub fn decode(&self, frames: &[Bytes]) -> Result<JupyterMessage, WireError> {
        let at = frames
            .iter()
            .position(|frame| frame.as_ref() == DELIMITER)
            .ok_or(WireError::Incomplete)?;
        let [signature, header, parent, metadata, content, buffers @ ..] =
            &frames[at + 1..]
        else {
            return Err(WireError::Incomplete);
        };
        if let Some(mut mac) = self.mac() {
            for part in [header, parent, metadata, content] {
                mac.update(part);
            }
            let signature = hex::decode(signature).map_err(|_| WireError::Signature)?;
            mac.verify_slice(&signature).map_err(|_| WireError::Signature)?;
        }
        let part = |bytes: &Bytes| -> Result<Value, WireError> {
            serde_json::from_slice(bytes).map_err(|e| WireError::Content(e.to_string()))
        };
        let (header, mut content) = (part(header)?, part(content)?);
        if !content.is_object() {
            return Err(WireError::Content("the content is no object".into()));
        }
        fill_in(header["msg_type"].as_str().unwrap_or_default(), &mut content);
        let message = json!({
            "header": header,
            "parent_header": part(parent)?,
            "metadata": part(metadata)?,
            "content": content,
            "buffers": [],
        });
        let message = JupyterMessage::from_value(message);
        let mut message = message.map_err(|e| WireError::Content(e.to_string()))?;
        message.zmq_identities = frames[..at].to_vec();
        message.buffers = buffers.to_vec();
        Ok(message)
    }

    /// Makes the frames of a message.
    pub fn encode(&self, message: &JupyterMessage) -> Vec<Bytes> {
        let bytes =
            |value: serde_json::Result<Vec<u8>>| Bytes::from(value.unwrap_or_default());
        let parent = match &message.parent_header {
            Some(parent) => serde_json::to_vec(parent),
            None => Ok(b"{}".to_vec()),
        };
        let parts = [
            bytes(serde_json::to_vec(&message.header)),
            bytes(parent),
            bytes(serde_json::to_vec(&message.metadata)),
            bytes(serde_json::to_vec(&message.content)),
        ];
        let signature = self.mac().map_or(String::new(), |mut mac| {
            for part in &parts {
                mac.update(part);
            }
            hex::encode(mac.finalize().into_bytes())
        });
        let mut frames = message.zmq_identities.clone();
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(Bytes::from(signature));
        frames.extend(parts);
        frames.extend(message.buffers.iter().cloned());
        frames
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        if self.key.is_empty() {
            return None;
        }
        Some(Hmac::new_from_slice(&self.key).expect("HMAC takes keys of any length"))
    }
}

/// Adds what the protocol allows a client to leave out.
fn fill_in(msg_type: &str, content: &mut Value) {
    let defaults = match msg_type {
        "execute_request" => json!({ "silent": false, "store_history": true }),
        "history_request" => json!({
            "output": false, "raw": true, "unique": false, "n": 1000,
            "start": 0, "stop": 0, "pattern": "*",
        }),
        _ => return,
    };
    let (Value::Object(defaults), Some(content)) = (defaults, content.as_object_mut())
    else {
        return;
    };
    for (key, value) in defaults {
        let there = content.entry(key).or_insert(Value::Null);
        if there.is_null() {
            *there = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::{ExecuteRequest, JupyterMessageContent};

    fn request() -> JupyterMessage {
        let mut message =
            JupyterMessage::new(ExecuteRequest::new("1 + 1 // ü".into()), None);
        message.zmq_identities = vec![Bytes::from_static(b"client")];
        message
    }

    #[test]
    fn a_message_survives_the_way() {
        let signer = Signer::new("secret");
        let message = signer.decode(&signer.encode(&request())).unwrap();
        assert_eq!(message.zmq_identities, [Bytes::from_static(b"client")]);
        let JupyterMessageContent::ExecuteRequest(content) = message.content else {
            panic!()
        };
        assert_eq!(content.code, "1 + 1 // ü");
    }

    #[test]
    fn another_key_or_a_changed_part_is_refused() {
        let frames = Signer::new("secret").encode(&request());
        let refused = Signer::new("other").decode(&frames);
        assert!(matches!(refused, Err(WireError::Signature)));
        let mut changed = frames.clone();
        let last = changed.len() - 1;
        changed[last] = Bytes::from_static(b"{\"code\":\"2\"}");
        assert!(matches!(
            Signer::new("secret").decode(&changed),
            Err(WireError::Signature)
        ));
    }

    /// Frames from outside may hold anything: cut, damaged, repeated.
    #[test]
    fn no_frames_make_it_panic() {
        let signer = Signer::new("");
        let good = signer.encode(&request());
        let mut state = 1_u64;
        let mut random = |below: usize| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..20_000 {
            let mut frames = good.clone();
            for _ in 0..=random(3) {
                let at = random(frames.len());
                match random(4) {
                    0 => drop(frames.remove(at)),
                    1 => frames.insert(at, Bytes::from_static(DELIMITER)),
                    2 => frames[at] = frames[at].slice(..random(frames[at].len() + 1)),
                    _ => {
                        let mut bytes = frames[at].to_vec();
                        if !bytes.is_empty() {
                            let place = random(bytes.len());
                            bytes[place] = random(256) as u8;
                        }
                        frames[at] = bytes.into();
                    }
                }
                if frames.is_empty() {
                    break;
                }
            }
            let _ = signer.decode(&frames);
        }
    }
}
