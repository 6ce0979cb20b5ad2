//! Selection of the best few of many items.

/// The best few of many, best first; of equals the first comes first.
pub(super) struct Best<T> {
    most: usize,
    items: Vec<(f32, T)>,
}

impl<T> Best<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, items: Vec::new() }
    }

    /// Keeps the item if it is among the best so far.
    pub(super) fn offer(&mut self, value: f32, item: T) {
        let is_full = self.items.len() >= self.most;
        if is_full && self.items.last().is_none_or(|(worst, _)| value <= *worst) {
            return;
        }
        let place = self.items.partition_point(|(better, _)| *better >= value);
        self.items.insert(place, (value, item));
        self.items.truncate(self.most);
    }

    /// Returns the value that an item must exceed to be kept.
    pub(super) fn floor(&self) -> f32 {
        if self.items.len() < self.most {
            return f32::NEG_INFINITY;
        }
        self.items.last().map_or(f32::INFINITY, |(worst, _)| *worst)
    }

    pub(super) fn into_items(self) -> Vec<(f32, T)> {
        self.items
    }
}
