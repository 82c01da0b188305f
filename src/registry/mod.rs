//! One operation on objects: create, update, patch, apply, delete, get, list, watch, subresources. The only writer of objects.
