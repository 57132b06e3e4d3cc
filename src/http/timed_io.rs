//! A connection that is cut when its peer keeps us waiting.
//!
//! hyper has one timer for the wait between two requests and for the headers of the next one, but the
//! two need different limits: a load balancer keeps connections idle for a minute, and headers that take
//! ten seconds are an attack. So the connection itself tells the two apart: it is idle until a byte
//! comes, and from then on the headers have their own, shorter time. The deadline of the handlers
//! covers the body. A peer that does not take its answer has a time of its own, for all of the answer: one
//! that takes a byte now and then is cut as well.
//!
//! One timer serves a connection for life. It is not moved with every request: when it fires, it
//! is looked at whether the time is really up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a peer may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From a request's first byte, or the connection's start, to the end of its headers.
    pub(super) headers: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// From the moment that the peer takes no more of an answer until it has taken all of it.
    pub(super) taking: Duration,
}

/// Tells the connection that a request is being answered, and so that the peer may be silent.
#[derive(Debug, Clone, Default)]
pub(super) struct Answering(Arc<AtomicBool>);

/// What we wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The rest of a request's headers.
    Headers,
    /// The first byte of a request.
    Request,
    /// That the peer takes the rest of an answer.
    Taking,
    /// Nothing: it is our turn.
    Nothing,
}

/// A connection with [`Limits`].
#[derive(Debug)]
pub(super) struct TimedIo<C> {
    connection: C,
    limits: Limits,
    answering: Answering,
    wait: Wait,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Answering {
    /// While the guard lives, a request is being answered.
    pub(super) fn begin(&self) -> AnsweringGuard {
        self.0.store(true, Ordering::Relaxed);
        AnsweringGuard(self.clone())
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See [`Answering::begin`].
#[derive(Debug)]
pub(super) struct AnsweringGuard(Answering);

impl Drop for AnsweringGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

impl<C> TimedIo<C> {
    pub(super) fn new(connection: C, limits: Limits, answering: Answering) -> Self {
        let since = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(since + limits.headers));
        Self { connection, limits, answering, wait: Wait::Headers, since, timer }
    }

    fn waits_for(&mut self, wait: Wait) {
        if self.wait != wait {
            self.wait = wait;
            self.since = Instant::now();
        }
    }

    /// Fails once the peer has kept us waiting for longer than `limit`, and wakes us then.
    fn up(&mut self, limit: Duration, context: &mut Context<'_>) -> io::Result<()> {
        let deadline = self.since + limit;
        // A timer that fires too early is moved when it does; one that would fire too late, now.
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for TimedIo<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match (this.wait, this.answering.is_on()) {
            (Wait::Headers | Wait::Request, true) => this.waits_for(Wait::Nothing),
            (Wait::Nothing, false) => this.waits_for(Wait::Request),
            // Nothing has changed, or the peer has to take its answer first.
            _ => {}
        }
        match Pin::new(&mut this.connection).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if this.wait == Wait::Request {
                    this.waits_for(Wait::Headers);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                match this.wait {
                    Wait::Headers => this.up(this.limits.headers, context)?,
                    Wait::Request => this.up(this.limits.idle, context)?,
                    // Whoever writes looks at the time.
                    Wait::Taking | Wait::Nothing => {}
                }
                Poll::Pending
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> TimedIo<C> {
    fn written(&mut self, poll: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if poll.is_pending() {
            self.waits_for(Wait::Taking);
            self.up(self.limits.taking, context)?;
        } else if self.wait != Wait::Taking {
            self.wait = Wait::Nothing;
        }
        poll
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for TimedIo<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.written(poll, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.connection).poll_write_vectored(context, slices);
        self.written(poll, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.connection).poll_flush(context))?;
        // hyper flushes once it has written all that there is.
        if self.wait == Wait::Taking {
            self.wait = Wait::Nothing;
        }
        // hyper does not read again after an answer until it is woken: the idle time starts here.
        if self.wait == Wait::Nothing && !self.answering.is_on() {
            self.waits_for(Wait::Request);
            let idle = self.limits.idle;
            self.up(idle, context)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LIMITS: Limits =
        Limits { headers: Duration::from_secs(10), idle: Duration::from_secs(75), taking: Duration::from_secs(30) };

    fn connection() -> (DuplexStream, TimedIo<DuplexStream>, Answering) {
        let (peer, ours) = duplex(16);
        let answering = Answering::default();
        (peer, TimedIo::new(ours, LIMITS, answering.clone()), answering)
    }

    /// After how many seconds the next read fails for the time being up.
    async fn cut_after(io: &mut TimedIo<DuplexStream>) -> u64 {
        let began = Instant::now();
        let read = tokio::time::timeout(Duration::from_hours(1), io.read_u8()).await;
        let error = read.expect("the peer is cut some time").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_has_the_time_of_headers() {
        let (_peer, mut io, _) = connection();
        assert_eq!(cut_after(&mut io).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_of_bytes_does_not_prolong_it() {
        let (mut peer, mut io, _) = connection();
        let began = Instant::now();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if peer.write_all(b"x").await.is_err() {
                    break;
                }
            }
        });
        while io.read_u8().await.is_ok() {}
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_long_and_then_the_idle_time_runs() {
        let (mut peer, mut io, answering) = connection();
        peer.write_all(b"r").await.unwrap();
        io.read_u8().await.unwrap();
        let guard = answering.begin();
        let read = tokio::time::timeout(Duration::from_secs(1_000), io.read_u8()).await;
        assert!(read.is_err(), "nothing cuts a request that is being answered: {read:?}");
        drop(guard);
        io.write_all(b"a").await.unwrap();
        assert_eq!(cut_after(&mut io).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_request_has_the_time_of_headers_from_its_first_byte() {
        let (mut peer, mut io, answering) = connection();
        peer.write_all(b"r").await.unwrap();
        io.read_u8().await.unwrap();
        drop(answering.begin());
        io.write_all(b"a").await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_mins(1)).await;
            peer.write_all(b"r").await.unwrap();
            std::future::pending::<()>().await;
        });
        io.read_u8().await.unwrap();
        assert_eq!(cut_after(&mut io).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_the_answer_is_cut() {
        let (_peer, mut io, answering) = connection();
        let _guard = answering.begin();
        // The time in which we made the answer is not the peer's.
        tokio::time::sleep(Duration::from_secs(1_000)).await;
        let began = Instant::now();
        let error = io.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_the_answer_in_crumbs_is_cut_as_well() {
        let (mut peer, mut io, answering) = connection();
        let _guard = answering.begin();
        tokio::spawn(async move {
            while peer.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let began = Instant::now();
        let error = io.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_own_time_to_be_taken() {
        let (mut peer, mut io, answering) = connection();
        let _guard = answering.begin();
        for _ in 0..3 {
            let (took, wrote) = tokio::join!(
                async {
                    tokio::time::sleep(Duration::from_secs(20)).await;
                    peer.read_exact(&mut [0; 20]).await
                },
                async {
                    io.write_all(&[0; 20]).await?;
                    io.flush().await
                }
            );
            took.unwrap();
            wrote.unwrap();
        }
    }
}
