//! Change or refuse a write: the ordered table of plugins, one file each.
