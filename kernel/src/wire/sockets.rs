//! The five sockets of a kernel.

use super::{ConnectionInfo, Signer};
use jupyter_protocol::JupyterMessage;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::{
    PubSocket, RepSocket, RouterSocket, Socket as _, SocketRecv, SocketSend, ZmqError,
    ZmqMessage,
};

/// A message and the socket that sends it.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Shell(JupyterMessage),
    Control(JupyterMessage),
    IoPub(JupyterMessage),
    Stdin(JupyterMessage),
    /// Everything before this one was sent.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// Requests as they come in, and the way out.
pub(crate) struct Sockets {
    pub(crate) shell: UnboundedReceiver<JupyterMessage>,
    pub(crate) control: UnboundedReceiver<JupyterMessage>,
    pub(crate) stdin: UnboundedReceiver<JupyterMessage>,
    pub(crate) out: UnboundedSender<Outgoing>,
}

/// Binds the sockets of a connection file and serves them until the runtime ends.
pub(crate) async fn bind(connection: &ConnectionInfo) -> Result<Sockets, ZmqError> {
    let signer = Signer::new(&connection.key);
    let mut shell = RouterSocket::new();
    shell.bind(&connection.shell_url()).await?;
    let mut control = RouterSocket::new();
    control.bind(&connection.control_url()).await?;
    let mut stdin = RouterSocket::new();
    stdin.bind(&connection.stdin_url()).await?;
    // Not XPUB with its `iopub_welcome` (JEP 65): this library's waits for the slowest reader, so one
    // front end that stopped would stop the output of all; its PUB keeps 100,000 messages and goes on.
    // Clients do without: they ask until a reply and its status have come.
    let mut iopub = PubSocket::new();
    iopub.bind(&connection.iopub_url()).await?;
    let mut heartbeat = RepSocket::new();
    heartbeat.bind(&connection.hb_url()).await?;

    tokio::spawn(async move {
        // What came is sent back as it is.
        while let Ok(beat) = heartbeat.recv().await {
            if heartbeat.send(beat).await.is_err() {
                break;
            }
        }
    });
    let (mut shell_out, shell_in) = shell.split();
    let (mut control_out, control_in) = control.split();
    let (mut stdin_out, stdin_in) = stdin.split();
    let stdin = receive(stdin_in, signer.clone());
    let shell = receive(shell_in, signer.clone());
    let control = receive(control_in, signer.clone());
    let (out, mut outgoing) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            let sent = match message {
                Outgoing::Shell(message) => send(&mut shell_out, &signer, &message).await,
                Outgoing::Control(message) => {
                    send(&mut control_out, &signer, &message).await
                }
                Outgoing::Stdin(message) => send(&mut stdin_out, &signer, &message).await,
                Outgoing::IoPub(message) => send(&mut iopub, &signer, &message).await,
                Outgoing::Flush(done) => {
                    let _ = done.send(());
                    Ok(())
                }
            };
            if let Err(error) = sent {
                // A front end that went away; others may still listen.
                tracing::debug!("not sent: {error}");
            }
        }
    });
    Ok(Sockets { shell, control, stdin, out })
}

async fn send(
    socket: &mut impl SocketSend,
    signer: &Signer,
    message: &JupyterMessage,
) -> Result<(), ZmqError> {
    match ZmqMessage::try_from(signer.encode(message)) {
        Ok(frames) => socket.send(frames).await,
        Err(_) => Ok(()),
    }
}

fn receive(
    mut socket: impl SocketRecv + Send + 'static,
    signer: Signer,
) -> UnboundedReceiver<JupyterMessage> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let frames = match socket.recv().await {
                Ok(message) => message.into_vec(),
                Err(error) => {
                    tracing::warn!("receiving: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            match signer.decode(&frames) {
                Ok(message) => {
                    if sender.send(message).is_err() {
                        break;
                    }
                }
                Err(error) => tracing::warn!("a message was dropped: {error}"),
            }
        }
    });
    receiver
}
