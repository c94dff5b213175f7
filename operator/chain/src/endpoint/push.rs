//! New heads that a node tells by itself over a WebSocket: a reason to look early, never a fact.

use core::fmt;
use std::sync::Arc;

use alloy::primitives::U64;
use alloy::transports::{TransportError, TransportErrorKind};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::ask::{Ask, Code, Observer, Timeouts};
use super::error::Error;

/// When so many new blocks were read one after the other and the node told of none, nothing comes through its connection any
/// more, whatever TCP thinks of it. One block more than a node that tells late would miss.
const UNTOLD: u32 = 3;

/// Longest message, bytes; a header has some 2 KiB.
const MESSAGE: usize = 64 << 10;

/// The subscription to new heads.
const SUBSCRIPTION: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A node's WebSocket.
#[derive(Clone)]
pub struct Heads {
    endpoint: String,
    url: String,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Heads {
    /// Without its address, which may hold a token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Heads").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What matters of a message.
#[derive(Debug, Deserialize)]
struct Said {
    params: Option<Notice>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Notice {
    result: Block,
}

#[derive(Debug, Deserialize)]
struct Block {
    number: U64,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl Heads {
    /// The WebSocket of the node `endpoint`, at a `ws` or `wss` address.
    #[must_use]
    pub fn new(endpoint: &str, url: &str, observer: Arc<dyn Observer>) -> Self {
        Self { endpoint: endpoint.to_owned(), url: url.to_owned(), observer }
    }

    /// The node's name.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Subscribes, and calls `told` with the number of each head that the node tells; comes back once that has ended. `read` is
    /// the number of the newest block that was read by asking: a node that tells of none of them any more is given up.
    ///
    /// # Errors
    ///
    /// It ends with one: [`Error::Timeout`], [`Error::Transport`], [`Error::Refused`], [`Error::Silent`].
    pub async fn listen(&self, read: watch::Receiver<u64>, told: impl FnMut(u64)) -> Error {
        let (ask, endpoint) = (Ask::Subscribe, self.endpoint.clone());
        let limit = Timeouts::default().of(ask);
        let subscribed = timeout(limit, self.subscribe()).await;
        let late = Error::Timeout { endpoint, ask, limit };
        let error = match subscribed.unwrap_or(Err(late)) {
            Ok(socket) => {
                self.count(Code::Ok);
                self.hear(socket, read, told).await
            }
            Err(error) => error,
        };
        self.count(error.code());
        error
    }

    async fn subscribe(&self) -> Result<Socket, Error> {
        let bounds = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        let connected = connect_async_with_config(self.url.as_str(), Some(bounds), true).await;
        let (mut socket, _) = connected.map_err(|error| self.broken(error))?;
        socket.send(Message::text(SUBSCRIPTION)).await.map_err(|error| self.broken(error))?;
        Ok(socket)
    }

    async fn hear(
        &self,
        mut socket: Socket,
        mut read: watch::Receiver<u64>,
        mut told: impl FnMut(u64),
    ) -> Error {
        let mut untold = 0;
        read.mark_unchanged();
        loop {
            tokio::select! {
                message = socket.next() => match self.head(message) {
                    Ok(Some(number)) => {
                        untold = 0;
                        told(number);
                    }
                    Ok(None) => {}
                    Err(error) => return error,
                },
                Ok(()) = read.changed() => {
                    untold += 1;
                    if untold >= UNTOLD {
                        return Error::Silent { endpoint: self.endpoint.clone(), blocks: untold };
                    }
                }
            }
        }
    }

    /// The number of the head that a message tells; others are pings, and the answer to the subscription.
    fn head(
        &self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<Option<u64>, Error> {
        let closed = Err(tungstenite::Error::ConnectionClosed);
        let Message::Text(text) = message.unwrap_or(closed).map_err(|error| self.broken(error))?
        else {
            return Ok(None);
        };
        let said: Said = serde_json::from_str(text.as_str()).map_err(|error| self.broken(error))?;
        match said.error {
            Some(Refusal { code, message }) => Err(Error::Refused {
                endpoint: self.endpoint.clone(),
                ask: Ask::Subscribe,
                code,
                message,
            }),
            None => Ok(said.params.map(|notice| notice.result.number.to())),
        }
    }

    fn broken(&self, error: impl core::error::Error + Send + Sync + 'static) -> Error {
        let source: TransportError = TransportErrorKind::custom(error);
        Error::Transport {
            endpoint: self.endpoint.clone(),
            ask: Ask::Subscribe,
            source: Box::new(source),
        }
    }

    fn count(&self, code: Code) {
        self.observer.asked(&self.endpoint, Ask::Subscribe, code);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use coreward_domain::chain::Head;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// What was counted.
    #[derive(Debug, Default)]
    struct Counted(Mutex<Vec<(Ask, Code)>>);

    impl Observer for Counted {
        fn asked(&self, _endpoint: &str, ask: Ask, code: Code) {
            self.0.lock().unwrap().push((ask, code));
        }

        fn head(&self, _endpoint: &str, _head: &Head) {}
    }

    struct Scene {
        node: TcpListener,
        heads: Heads,
        counted: Arc<Counted>,
        block: watch::Sender<u64>,
    }

    impl Scene {
        async fn new() -> Self {
            let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}/token", node.local_addr().unwrap());
            let counted = Arc::new(Counted::default());
            let heads = Heads::new("first", &url, Arc::clone(&counted) as Arc<dyn Observer>);
            Self { node, heads, counted, block: watch::Sender::new(7) }
        }

        /// Takes the subscription, says `said`, and goes on with `then`.
        async fn tell(
            &self,
            said: &[&str],
            then: impl AsyncFnOnce(WebSocketStream<TcpStream>),
        ) -> (Error, Vec<u64>) {
            let mut told = Vec::new();
            let node = async {
                let (stream, _) = self.node.accept().await.unwrap();
                let mut socket = accept_async(stream).await.unwrap();
                let asked = socket.next().await.unwrap().unwrap();
                assert_eq!(asked, Message::text(SUBSCRIPTION));
                for said in said {
                    socket.send(Message::text(*said)).await.unwrap();
                }
                then(socket).await;
            };
            let (error, ()) = tokio::join!(
                self.heads.listen(self.block.subscribe(), |number| told.push(number)),
                node
            );
            (error, told)
        }

        fn codes(&self) -> Vec<Code> {
            let counted = self.counted.0.lock().unwrap();
            assert!(counted.iter().all(|(ask, _)| *ask == Ask::Subscribe));
            counted.iter().map(|(_, code)| *code).collect()
        }
    }

    const SUBSCRIBED: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    const HEAD: &str = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":{"number":"0x8"}}}"#;

    #[tokio::test]
    async fn each_head_is_told_until_the_node_goes() {
        let scene = Scene::new().await;
        let (error, told) = scene.tell(&[SUBSCRIBED, HEAD, HEAD], async |_socket| {}).await;
        assert!(matches!(error, Error::Transport { .. }), "{error:?}");
        assert_eq!((told, scene.codes()), (vec![8, 8], vec![Code::Ok, Code::Transport]));
    }

    #[tokio::test]
    async fn a_connection_that_tells_nothing_of_what_is_read_is_given_up() {
        let scene = Scene::new().await;
        let (error, told) = scene
            .tell(&[SUBSCRIBED, HEAD], async |socket| {
                // It stays open, and nothing comes.
                for number in 8.. {
                    if scene.block.receiver_count() == 0 {
                        break;
                    }
                    scene.block.send_replace(number);
                    tokio::task::yield_now().await;
                }
                drop(socket);
            })
            .await;
        assert!(matches!(error, Error::Silent { blocks: UNTOLD, .. }), "{error:?}");
        assert!(told.len() <= 1);
        assert_eq!(scene.codes(), [Code::Ok, Code::Silent]);
    }

    #[tokio::test]
    async fn a_node_that_knows_no_subscriptions_is_told_of() {
        let scene = Scene::new().await;
        let refusal =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#;
        let (error, told) = scene.tell(&[refusal], async |_socket| {}).await;
        let words = "endpoint `first` refused eth_subscribe: no such method (-32601)";
        assert_eq!((error.to_string().as_str(), told), (words, vec![]));
        assert_eq!(scene.codes(), [Code::Ok, Code::Refused]);
    }

    #[tokio::test]
    async fn a_message_without_end_is_not_kept() {
        let scene = Scene::new().await;
        let long = "x".repeat(MESSAGE + 1);
        let (error, told) = scene.tell(&[&long], async |_socket| {}).await;
        assert!(matches!(error, Error::Transport { .. }), "{error:?}");
        assert_eq!(told, Vec::<u64>::new());
    }

    #[tokio::test]
    async fn nobody_home_is_told_without_the_address() {
        let Scene { node, heads, block, .. } = Scene::new().await;
        drop(node);
        let error = heads.listen(block.subscribe(), |_| {}).await;
        let words = format!("{error:?} {heads:?}");
        assert!(!words.contains("token"), "{words}");
        assert_eq!(error.code(), Code::Transport);
    }
}
