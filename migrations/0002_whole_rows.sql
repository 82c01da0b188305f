-- A page that is damaged can hide rows, or show old ones: rows say of each other and of themselves what they must be.

-- From this version on `log.facts` begins with a checksum of the row but its body, one of the body, and a sum over the
-- revisions that are present after the row; the rows that are there are rewritten with them.

-- A revision that the file has reached, whatever else is in the write-ahead log.
ALTER TABLE bounds ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
-- A checksum of the row.
ALTER TABLE bounds ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
