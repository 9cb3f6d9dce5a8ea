//! Asks a running program whether it can serve, for container engines that have nothing to ask
//! with.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{process::Fault, settings::reachable};

/// How long the program may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

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

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

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
