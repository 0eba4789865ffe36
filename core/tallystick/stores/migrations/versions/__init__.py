"""One file per revision; what has been released is never edited."""
