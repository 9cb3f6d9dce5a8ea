//! Pictures of people: what is sent is decoded within limits, cut to a square and encoded anew, so that what is shown is a picture and nothing
//! else: neither the place where it was taken nor a program in disguise.

use std::{io::Cursor, sync::Arc};

use image::{ImageFormat, ImageReader, Limits, imageops::FilterType};
use tokio::sync::Semaphore;

use crate::error::Error;

/// The largest file that is taken, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The largest width and height that are decoded, and the most memory for it: a small file may say that it is huge.
const MAX_SIDE: u32 = 6_000;
const MAX_MEMORY: u64 = 160 << 20;

/// Width and height of what is kept.
const SIDE: u32 = 256;

/// How many pictures are decoded at once; further ones wait.
const AT_ONCE: usize = 1;

/// How many may wait.
const WAITING: usize = 16;

/// Prepares pictures, off the threads that serve calls. Clones share the places.
#[derive(Debug, Clone)]
pub struct Pictures {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self {
            working: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

impl Pictures {
    /// Returns a PNG of 256 by 256 pixels of what was sent.
    ///
    /// # Errors
    ///
    /// If it is no picture, or too large; or if too many wait.
    pub async fn prepare(&self, sent: Vec<u8>) -> Result<Vec<u8>, Error> {
        let _place = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
        let working = self.working.clone().acquire_owned().await;
        let prepared = tokio::task::spawn_blocking(move || {
            // Kept until the work is done, also if nobody waits for it any more.
            let _working = working;
            prepare(&sent)
        });
        let prepared = prepared.await;
        let prepared = prepared.map_err(|_| Error::Storage(storage::Error::Panicked))?;
        prepared.map_err(|message| Error::field("image", message))
    }
}

fn prepare(sent: &[u8]) -> Result<Vec<u8>, String> {
    if sent.len() > MAX_BYTES {
        return Err("use a picture of at most 1 MiB".to_owned());
    }
    let accepted = || "use a PNG, JPEG, GIF or WebP that is whole".to_owned();
    let mut reader = ImageReader::new(Cursor::new(sent))
        .with_guessed_format()
        .map_err(|_| accepted())?;
    let known = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ];
    if !reader
        .format()
        .is_some_and(|format| known.contains(&format))
    {
        return Err(accepted());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|error| match error {
        image::ImageError::Limits(_) => {
            format!("use a picture of at most {MAX_SIDE} by {MAX_SIDE} pixels")
        }
        _ => accepted(),
    })?;
    let square = decoded.resize_to_fill(SIDE, SIDE, FilterType::Triangle);
    let mut png = Vec::new();
    square
        .to_rgba8()
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(|_| accepted())?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_pixel(width, height, Rgb([200, 10, 10]));
        let mut bytes = Vec::new();
        picture
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    #[test]
    fn a_picture_becomes_a_square_png() {
        let formats = [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::WebP,
        ];
        for format in formats {
            for (width, height) in [(300, 200), (1, 1), (20, 900)] {
                let png = prepare(&encoded(width, height, format)).unwrap();
                let kept = image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap();
                assert_eq!((kept.width(), kept.height()), (SIDE, SIDE), "{format:?}");
            }
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        let whole = encoded(300, 200, ImageFormat::Png);
        let cut = &whole[..whole.len() / 2];
        for wrong in [&b""[..], b"<svg onload='alert(1)'/>", b"BM\0\0", cut] {
            assert!(prepare(wrong).unwrap_err().contains("PNG"), "{wrong:?}");
        }
        assert!(
            prepare(&vec![0; MAX_BYTES + 1])
                .unwrap_err()
                .contains("1 MiB")
        );
        let wide = encoded(MAX_SIDE + 1, 1, ImageFormat::Png);
        assert!(prepare(&wide).unwrap_err().contains("6000"));
    }

    #[test]
    fn nothing_of_the_file_is_kept_but_the_picture() {
        let mut sent = encoded(64, 64, ImageFormat::Jpeg);
        sent.extend_from_slice(b"<script>where I live</script>");
        let kept = prepare(&sent).unwrap();
        assert!(!kept.windows(8).any(|part| part == b"<script>"));
    }
}
