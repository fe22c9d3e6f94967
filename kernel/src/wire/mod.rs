//! Jupyter's messages on their way: signed frames of bytes ⇄ typed messages.
//!
//! A message is a list of frames: identities for routing, `<IDS|MSG>`, a signature, and four parts
//! of JSON (header, parent header, metadata, content); see
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol>.

mod frames;
mod sockets;

pub use frames::{Signer, WireError};
pub use jupyter_protocol::ConnectionInfo;
pub(crate) use sockets::{Outgoing, bind};
