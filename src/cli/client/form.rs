//! The body of a request that sends a photo: `multipart/form-data` (RFC 7578).

use bytes::{BufMut, Bytes, BytesMut};

/// A request body and its content type.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

impl Form {
    /// Writes text fields, and a photo as the field `photo`.
    pub(super) fn new(fields: &[(&str, &str)], photo: &[u8]) -> Self {
        let boundary = boundary(photo);
        let disposition = "Content-Disposition: form-data; name=";
        let mut body = BytesMut::with_capacity(photo.len() + 1024);
        for (name, value) in fields {
            let part = format!("--{boundary}\r\n{disposition}\"{name}\"\r\n\r\n{value}\r\n");
            body.put(part.as_bytes());
        }
        let head = format!("--{boundary}\r\n{disposition}\"photo\"; filename=\"photo\"\r\n\r\n");
        body.put(head.as_bytes());
        body.put(photo);
        body.put(format!("\r\n--{boundary}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={boundary}");
        Self { content_type, body: body.freeze() }
    }
}

/// Returns a boundary that the photo does not contain.
fn boundary(photo: &[u8]) -> String {
    let mut number = 0_u64;
    loop {
        let boundary = format!("likeness-photo-{number}");
        if !photo.windows(boundary.len()).any(|bytes| bytes == boundary.as_bytes()) {
            return boundary;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photo_never_contains_the_boundary() {
        let form = Form::new(&[("employee_id", "e-1")], b"..\r\n--likeness-photo-0--\r\n");
        assert_eq!(form.content_type, "multipart/form-data; boundary=likeness-photo-1");
        let body = str::from_utf8(&form.body).unwrap();
        assert_eq!(body.matches("--likeness-photo-1").count(), 3, "{body}");
        assert!(body.contains("name=\"employee_id\"\r\n\r\ne-1\r\n"), "{body}");
    }
}
