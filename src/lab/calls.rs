//! gRPC in a simulation: tonic's clients and servers over streams in memory. In: bytes that arrived and PDUs to
//! send. Out: bytes to send and PDUs that came. Refuses to know time: tonic runs until it has nothing to do.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::transport::{Endpoint, Uri};
use tower_service::Service;

use super::grpc::{Arrival, Bridge, Failures, Manner, Serves, serve};
use super::network::Side;
use super::peer::ConnectionId;
use super::wire::{Code, Pdu};

/// Bytes on their way between tonic and the simulation: more than a lab message with all its frames.
const PIPE: usize = 1 << 20;
/// PDUs that may wait for the simulation, which empties the queue each time.
const QUEUE: usize = 256;
/// tonic has nothing to do when its tasks have been polled so often in vain. A message passes through about ten
/// of them from call to bytes.
const IDLE: usize = 64;

/// Every gRPC connection of a simulation.
#[derive(Debug)]
pub struct Calls {
    runtime: Runtime,
    failures: Failures,
    /// Far ends of tonic's streams, by TCP connection.
    pipes: BTreeMap<(usize, bool), DuplexStream>,
    /// By peer and connection: each peer has its own queue, so that it is clear whose a PDU is.
    bridges: BTreeMap<(usize, usize), (Bridge, mpsc::Receiver<Arrival>)>,
}

impl Calls {
    /// None yet.
    ///
    /// # Panics
    /// If the system gives no event queue (it never runs out of what a runtime without threads needs).
    pub fn new(failures: Failures) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime without threads needs one event queue");
        Self { runtime, failures, pipes: BTreeMap::new(), bridges: BTreeMap::new() }
    }

    /// One end of a TCP connection is ready: the side that dialled calls, the other serves. `whose` is the peer
    /// there, and what it knows the connection as; `serves` is what it answers.
    pub fn open(&mut self, line: usize, side: Side, whose: (usize, usize), serves: Serves) {
        let (near, far) = tokio::io::duplex(PIPE);
        self.pipes.insert((line, side == Side::Initiator), far);
        let _inside = self.runtime.enter();
        let (bridge, _) = self.bridges.entry(whose).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let manner = Manner { serves, failures: self.failures };
            (Bridge::new(ConnectionId(whose.1), manner, sender), receiver)
        });
        match side {
            Side::Initiator => {
                let endpoint = Endpoint::from_static("http://ck.qkdn.example");
                bridge.call_over(endpoint.connect_with_connector_lazy(Once(Some(near))));
            }
            Side::Responder => {
                tokio::spawn(serve(bridge.clone(), near));
            }
        }
    }

    /// A peer sends a PDU.
    ///
    /// # Errors
    /// The code of what cannot be sent over gRPC.
    pub fn transmit(&self, peer: usize, connection: usize, pdu: Pdu) -> Result<(), Code> {
        let _inside = self.runtime.enter();
        let (bridge, _) = self.bridges.get(&(peer, connection)).ok_or(pdu.code)?;
        bridge.transmit(pdu)
    }

    /// Bytes arrived at an end.
    pub fn receive(&mut self, line: usize, side: Side, bytes: &[u8]) {
        if let Some(pipe) = self.pipes.get_mut(&(line, side == Side::Initiator)) {
            // tonic may have ended its connection; then nobody reads.
            let _ = self.runtime.block_on(pipe.write_all(bytes));
        }
    }

    /// A connection is gone, with all that it carried.
    pub fn close(&mut self, connection: usize) {
        self.bridges.retain(|(_, known_as), _| *known_as != connection);
    }

    /// Runs tonic until it has nothing to do. Gives what each end says, and what each peer heard.
    #[allow(clippy::type_complexity)] // two lists, taken apart at once
    pub fn settle(&mut self) -> (Vec<(usize, Side, Vec<u8>)>, Vec<(usize, Arrival)>) {
        let (mut said, mut heard) = (BTreeMap::<_, Vec<u8>>::new(), Vec::new());
        let (pipes, bridges) = (&mut self.pipes, &mut self.bridges);
        self.runtime.block_on(async {
            let mut idle = 0;
            while idle < IDLE {
                tokio::task::yield_now().await;
                idle += 1;
                for (end, pipe) in pipes.iter_mut() {
                    let bytes = std::future::poll_fn(|context| Poll::Ready(read(pipe, context))).await;
                    if !bytes.is_empty() {
                        said.entry(*end).or_default().extend(bytes);
                        idle = 0;
                    }
                }
                for ((peer, _), (_, arrivals)) in bridges.iter_mut() {
                    while let Ok(arrival) = arrivals.try_recv() {
                        heard.push((*peer, arrival));
                        idle = 0;
                    }
                }
            }
        });
        let side = |initiator| if initiator { Side::Initiator } else { Side::Responder };
        (said.into_iter().map(|((line, initiator), bytes)| (line, side(initiator), bytes)).collect(), heard)
    }
}

/// What is there to read now.
fn read(pipe: &mut DuplexStream, context: &mut Context<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 16 * 1024];
    let mut buffer = ReadBuf::new(&mut bytes);
    let _ = Pin::new(pipe).poll_read(context, &mut buffer); // pending, or tonic's end is gone: nothing to read
    let length = buffer.filled().len();
    bytes.truncate(length);
    bytes
}

/// Connects once, by a stream that stands already.
struct Once(Option<DuplexStream>);

impl Service<Uri> for Once {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        std::future::ready(self.0.take().map(TokioIo::new).ok_or_else(gone))
    }
}
