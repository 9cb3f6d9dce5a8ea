//! How much a push consumer with flow control may have on its way, as a plain state machine: the client answers a
//! request now and then, and each answer makes room again.

/// The most that may be on its way, and the part of it that a consumer starts with.
const MAX_WINDOW: usize = 32 << 20;
const FIRST_WINDOW: usize = MAX_WINDOW / 16;

/// The bytes that a consumer's client has not confirmed.
#[derive(Debug)]
pub(super) struct Flow {
    window: usize,
    on_the_way: usize,
    /// The subject of the request that waits for its answer, and how much the answer confirms.
    request: Option<(Box<str>, usize)>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Flow {
            window: FIRST_WINDOW,
            on_the_way: 0,
            request: None,
        }
    }

    /// Whether nothing more is to be sent.
    pub(super) fn is_stalled(&self) -> bool {
        self.on_the_way > self.window
    }

    /// The request that waits for its answer.
    pub(super) fn request(&self) -> Option<&str> {
        self.request.as_ref().map(|(subject, _)| &**subject)
    }

    /// Takes note of a message that was sent. Returns whether a request is due, which is to be [`requested`](Self::requested).
    pub(super) fn sent(&mut self, bytes: usize) -> bool {
        self.on_the_way += bytes;
        match &mut self.request {
            None => self.on_the_way > self.window / 2,
            Some((_, confirmed)) => {
                if self.on_the_way - *confirmed >= self.window {
                    *confirmed += bytes;
                }
                false
            }
        }
    }

    /// Takes note of a request that is to be answered to this subject.
    pub(super) fn requested(&mut self, subject: &str) {
        self.request = Some((subject.into(), self.on_the_way));
    }

    /// Takes an answer; one to an earlier request says nothing.
    pub(super) fn answered(&mut self, subject: &str) {
        if let Some((_, confirmed)) = self.request.take_if(|(request, _)| **request == *subject) {
            self.window = (self.window * 2).min(MAX_WINDOW);
            self.on_the_way = self.on_the_way.saturating_sub(confirmed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_make_room_and_the_window_grows() {
        let mut flow = Flow::new();
        assert!(!flow.sent(FIRST_WINDOW / 2));
        assert!(flow.sent(1), "more than half of the window");
        flow.requested("one");
        assert!(!flow.sent(FIRST_WINDOW / 2) && flow.is_stalled());
        flow.answered("other");
        assert!(flow.is_stalled());
        assert_eq!(flow.request(), Some("one"));
        flow.answered("one");
        assert!(!flow.is_stalled() && flow.request().is_none());
        assert_eq!(flow.on_the_way, FIRST_WINDOW / 2);
        for _ in 0..9 {
            flow.requested("again");
            flow.answered("again");
        }
        assert_eq!((flow.window, flow.on_the_way), (MAX_WINDOW, 0));
    }
}
