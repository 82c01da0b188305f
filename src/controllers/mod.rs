//! The controllers: a runner, a table, one file or folder per controller.
