//! Lists: which page is asked for, and how one is answered, with links to the others.

use serde::Serialize;
use utoipa::ToSchema;

use super::{context::ApiContext, problem::ApiError};

/// How many items a page has unless it is asked for more or fewer.
const DEFAULT_SIZE: i32 = 20;
/// The most that a page may have.
pub(super) const MAX_SIZE: i32 = 100;

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageAsked {
    /// From 1.
    pub(super) page: i32,
    /// From 1 to 100.
    pub(super) size: i32,
}

impl PageAsked {
    /// Reads `page` and `page_size`.
    ///
    /// # Errors
    ///
    /// If one of them is out of range.
    pub(super) fn of(context: &ApiContext) -> Result<Self, ApiError> {
        Ok(Self {
            page: context.number("page", 1..=i32::MAX, 1)?,
            size: context.number("page_size", 1..=MAX_SIZE, DEFAULT_SIZE)?,
        })
    }

    /// How many items come before the page.
    pub(super) fn offset(self) -> i32 {
        (self.page - 1).saturating_mul(self.size)
    }

    /// The part of a whole list that is on the page.
    pub(super) fn part_of<T>(self, all: Vec<T>) -> Vec<T> {
        let (offset, size) = (usize::try_from(self.offset()), usize::try_from(self.size));
        let (offset, size) = (offset.unwrap_or(usize::MAX), size.unwrap_or_default());
        all.into_iter().skip(offset).take(size).collect()
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// What is on this page; nothing beyond the last one.
    items: Vec<T>,
    /// How many items all pages have together.
    #[schema(minimum = 0)]
    total: i64,
    /// The number of this page, from 1.
    #[schema(minimum = 1)]
    page: i32,
    /// How many items a full page has.
    #[schema(minimum = 1, maximum = 100)]
    page_size: i32,
    links: PageLinks,
}

/// Where the other pages are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct PageLinks {
    /// This page.
    #[serde(rename = "self")]
    this: String,
    /// The first page.
    first: String,
    /// The page before; null on the first.
    prev: Option<String>,
    /// The page after; null on the last.
    next: Option<String>,
    /// The last page.
    last: String,
}

impl<T> Page<T> {
    /// The page that was asked for.
    pub(super) fn new(context: &ApiContext, asked: PageAsked, items: Vec<T>, total: i64) -> Self {
        let (page, size) = (i64::from(asked.page), i64::from(asked.size));
        let last = ((total + size - 1) / size).max(1);
        let link = |page: i64| context.address_with("page", &page.to_string());
        Self {
            items,
            total,
            page: asked.page,
            page_size: asked.size,
            links: PageLinks {
                this: link(page),
                first: link(1),
                // Beyond the last page the one before is the last.
                prev: (page > 1).then(|| link((page - 1).min(last))),
                next: (page < last).then(|| link(page + 1)),
                last: link(last),
            },
        }
    }
}
