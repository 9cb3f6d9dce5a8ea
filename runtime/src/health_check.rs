//! Asks a running program whether it can serve, for container engines that have nothing to ask
//! with.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{process::Fault, settings::reachable};

/// How long the program may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Of a longer line only the beginning is read.
const MOST_BYTES: usize = 4_096;

/// Asks the program whose HTTP address is `address` whether it is ready.
///
/// # Errors
///
/// If it does not answer, or says that it is not ready.
pub fn ask(address: SocketAddr) -> Result<(), Fault> {
    let address = reachable(address);
    let status = status_line(address)
        .map_err(|error| Fault::Failed(format!("nothing answers at {address}: {error}")))?;
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(Fault::Failed(format!(
        "the program at {address} is not ready: {}",
        status.trim_end()
    )))
}

fn status_line(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    first_line(&mut stream, DEADLINE)
}

/// Reads the first line that a server sends, or the first 4,096 bytes of it, within a time for all of it.
///
/// # Errors
///
/// If the connection fails, or the time is over.
pub fn first_line(stream: &mut TcpStream, within: Duration) -> io::Result<String> {
    let begun = Instant::now();
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < MOST_BYTES && !line.ends_with(b"\n") {
        let left = within.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// A program that gives one answer.
    fn program(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_line_without_an_end_is_not_read_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(&vec![b'a'; 2 * MOST_BYTES]).unwrap();
        let line = first_line(&mut stream, Duration::from_secs(60)).unwrap();
        assert_eq!(line.len(), MOST_BYTES);
        let over = first_line(&mut stream, Duration::ZERO).unwrap_err();
        assert_eq!(over.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn only_a_ready_program_is_healthy() {
        assert!(ask(program("HTTP/1.1 200 OK\r\n\r\n")).is_ok());
        let not_ready = ask(program("HTTP/1.1 503 Service Unavailable\r\n\r\n")).unwrap_err();
        assert!(not_ready.to_string().contains("not ready"), "{not_ready}");
        let silent = ask(program("")).unwrap_err();
        assert_eq!(silent.exit_code(), 70);
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(ask(closed).is_err());
    }
}
