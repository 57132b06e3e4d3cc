//! As much of Redis's protocol as a gate needs: commands as they come in, answers as they go out.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Takes the first whole command off the buffer.
pub(super) fn take_command(buffer: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let mut at = 0;
    let count = number(buffer, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(buffer, &mut at, b'$')?;
        words.push(buffer.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    if at > buffer.len() {
        return None;
    }
    buffer.drain(..at);
    Some(words)
}

/// The number of a line like `*3`, if the whole line is there.
fn number(buffer: &[u8], at: &mut usize, kind: u8) -> Option<usize> {
    let line = &buffer[*at..];
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(line[0], kind, "a command is an array of strings");
    *at += end + 2;
    std::str::from_utf8(&line[1..end]).ok()?.parse().ok()
}

/// The strings and numbers of an answer, in their order; none where it is an error.
pub(super) fn words_of(answer: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(answer);
    let (mut lines, mut words) = (text.split("\r\n"), Vec::new());
    while let Some(line) = lines.next() {
        match line.as_bytes().first() {
            Some(b'-') => return None,
            Some(b'$') => words.push(if line == "$-1" { String::new() } else { lines.next()?.to_owned() }),
            Some(b':' | b'+') => words.push(line[1..].to_owned()),
            _ => {}
        }
    }
    Some(words)
}

/// A connection on which one command after the other is carried out, while everything else waits.
pub(super) struct Redis(BufReader<TcpStream>);

impl Redis {
    pub(super) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("Redis");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Carries the command out, and gives the answer as it came.
    pub(super) fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&out).expect("Redis takes commands");
        let mut answer = Vec::new();
        self.read(&mut answer);
        answer
    }

    /// The same, where the answer is a list of strings; what is missing is empty.
    pub(super) fn strings(&mut self, words: &[&str]) -> Vec<String> {
        let answer = String::from_utf8(self.call(words)).expect("text");
        let mut lines = answer.split("\r\n");
        let head = lines.next().unwrap_or_default();
        assert!(head.starts_with(['*', '$', ':', '+']), "{words:?}: {answer}");
        if let Some(number) = head.strip_prefix([':', '+']) {
            return vec![number.to_owned()];
        }
        let mut found = Vec::new();
        if head.starts_with('$') {
            return lines.next().map(str::to_owned).into_iter().collect();
        }
        while let Some(line) = lines.next() {
            match line.as_bytes().first() {
                Some(b'$') if line != "$-1" => found.extend(lines.next().map(str::to_owned)),
                Some(b'$') => found.push(String::new()),
                _ => {}
            }
        }
        found
    }

    /// The fields of a hash.
    pub(super) fn hash(&mut self, key: &str) -> BTreeMap<String, String> {
        let flat = self.strings(&["HGETALL", key]);
        flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    fn read(&mut self, answer: &mut Vec<u8>) {
        let begin = answer.len();
        self.0.read_until(b'\n', answer).expect("Redis answers");
        let line = answer[begin..].to_vec();
        let number = || std::str::from_utf8(&line[1..line.len() - 2]).ok()?.parse::<i64>().ok();
        match line.first() {
            Some(b'$') => {
                let Some(length) = number().and_then(|length| usize::try_from(length).ok()) else { return };
                let end = answer.len();
                answer.resize(end + length + 2, 0);
                self.0.read_exact(&mut answer[end..]).expect("Redis answers");
            }
            Some(b'*') => (0..number().unwrap_or_default()).for_each(|_| self.read(answer)),
            _ => {}
        }
    }
}
