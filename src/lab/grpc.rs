//! Ck over gRPC with tonic. A [`Bridge`] stands between a peer, which knows PDUs, and its calls: requests that
//! the peer sends go out as calls, requests of the other end come in as PDUs, and what answers either finds its
//! way back. In: PDUs, and streams of bytes that somebody else connected. Refuses to know sockets and TLS.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use prost::bytes::{Buf, BufMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::appendix_ii::{Q4164, pdu};
use super::dialect::{Message, Outcome, Parameter};
use super::peer::ConnectionId;
use super::wire::{Code, Pdu};

/// A PDU that came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The KM and controller it is between; gRPC takes two TCP connections, as either side calls the other.
    pub connection: ConnectionId,
    /// The message.
    pub pdu: Pdu,
}

/// How failures are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failures {
    /// In the message: `result_code` 1 and `error_message`.
    #[default]
    Message,
    /// By grpc-status FAILED_PRECONDITION and grpc-message, without a message.
    Status,
}

/// Which calls an end answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// What KMs send: the controller's part.
    Notifications,
    /// What the controller sends: a KM's part.
    Requests,
}

/// How an end of a bridge behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Which calls it answers.
    pub serves: Serves,
    /// How it tells failures.
    pub failures: Failures,
}

impl Manner {
    /// Tells failures in the message.
    pub fn of(serves: Serves) -> Self {
        Self { serves, failures: Failures::Message }
    }
}

/// One end's calls with the other end.
#[derive(Clone, Debug)]
pub struct Bridge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: ConnectionId,
    manner: Manner,
    arrivals: mpsc::Sender<Arrival>,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    channel: Option<Channel>,
    /// Calls of the other end that wait for the peer's answer, by the MessageID given to them here.
    waiting: BTreeMap<u32, oneshot::Sender<Pdu>>,
    last: u32,
}

impl Bridge {
    /// A bridge for `connection` that hands what comes in to `arrivals`.
    pub fn new(connection: ConnectionId, manner: Manner, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self(Arc::new(Inner { connection, manner, arrivals, calls: Mutex::default() }))
    }

    /// From now on requests go out here.
    pub fn call_over(&self, channel: Channel) {
        self.calls().channel = Some(channel);
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what the peer says: an answer within the call that waits for it, a request as a call of its own.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The code, if Appendix II maps no such message, or there is nothing to send it over: it was not sent.
    pub fn transmit(&self, pdu: Pdu) -> Result<(), Code> {
        let mut calls = self.calls();
        let Some(path) = Q4164.path(pdu.code) else {
            let answer = calls.waiting.remove(&pdu.message_id).ok_or(pdu.code)?;
            return answer.send(pdu).map_err(|pdu| pdu.code);
        };
        let (Some(channel), Some(bytes)) = (calls.channel.clone(), Q4164.encode(&pdu)) else { return Err(pdu.code) };
        tokio::spawn(self.clone().call(channel, path, pdu, bytes));
        Ok(())
    }

    async fn call(self, channel: Channel, path: String, asked: Pdu, bytes: Vec<u8>) {
        let answered = unary(channel, &path, bytes).await;
        let failed = |reason: &str| {
            let message = Message::new(asked.code.answered_by()?).outcome(&Outcome::Failure(reason.to_owned()));
            Some(pdu(asked.message_id, &message))
        };
        let answer = match answered {
            Ok(bytes) => Q4164.response(asked.code).and_then(|code| {
                let decoded = Q4164.decode(code, asked.message_id, &bytes);
                decoded.map_or_else(|error| failed(&error.to_string()), Some)
            }),
            // 0x1403 is not answered within its call, so that nobody takes its failure for a 0x4104.
            Err(_) if asked.code == Code::RELAY_NOTIFICATION => None,
            Err(status) => failed(status.message()),
        };
        if let Some(pdu) = answer {
            self.arrive(pdu).await;
        }
    }

    /// The peer may be gone: then there is nobody to tell.
    async fn arrive(&self, pdu: Pdu) {
        let _ = self.0.arrivals.send(Arrival { connection: self.0.connection, pdu }).await;
    }

    /// A call of the other end: to the peer, and its answer back.
    async fn ask(self, code: Code, bytes: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut calls = self.calls();
            calls.last += 1;
            calls.last
        };
        let pdu = Q4164.decode(code, id, &bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let is_answered = Q4164.response(code).is_some();
        if is_answered {
            self.calls().waiting.insert(id, answer);
        }
        self.arrive(pdu).await;
        if !is_answered {
            return Ok(Response::new(Vec::new()));
        }
        let pdu = answered.await.map_err(|_| Status::unavailable("the peer is gone"))?;
        let bytes = Q4164.encode(&pdu).ok_or_else(|| Status::internal("the peer's answer is not in Appendix II"))?;
        match (self.0.manner.failures, failure(&pdu)) {
            (Failures::Status, Some(reason)) => Err(Status::failed_precondition(reason)),
            _ => Ok(Response::new(bytes)),
        }
    }
}

/// Why the request failed that this answers; `None` if it did not.
fn failure(pdu: &Pdu) -> Option<String> {
    let message = Message::read(pdu.code, &pdu.payload);
    match message.get_outcome() {
        Outcome::Success => None,
        Outcome::Failure(code) => Some(message.get(Parameter::Extension).unwrap_or(&code).to_owned()),
    }
}

async fn unary(channel: Channel, path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
    let path = path.parse().map_err(|_| Status::internal("no path"))?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    client.unary(Request::new(bytes), path, Bytes).await.map(Response::into_inner)
}

/// Answers calls that come over `stream` until it ends.
pub async fn serve<S>(bridge: Bridge, stream: S) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
{
    let stream = tokio_stream::once(Ok::<_, std::io::Error>(stream));
    Server::builder().serve_with_incoming(Calling(bridge), stream).await
}

/// The service: every method of the definitions.
#[derive(Clone, Debug)]
struct Calling(Bridge);

impl Service<http::Request<Body>> for Calling {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bridge = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path();
            let serves = |code: &Code| match bridge.0.manner.serves {
                Serves::Notifications => *code == Code::RELAY_NOTIFICATION,
                Serves::Requests => *code != Code::RELAY_NOTIFICATION,
            };
            let Some(code) = Q4164.request(path).filter(serves) else {
                return Ok(Status::unimplemented(format!("no method {path}")).into_http());
            };
            Ok(tonic::server::Grpc::new(Bytes).unary(Method(bridge, code), request).await)
        })
    }
}

/// One method of the service.
struct Method(Bridge, Code);

impl tonic::server::UnaryService<Vec<u8>> for Method {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.0.clone().ask(self.1, request.into_inner()))
    }
}

/// Messages stay bytes between tonic and the definitions.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec())) // tonic caps a message at 4 MiB
    }
}
