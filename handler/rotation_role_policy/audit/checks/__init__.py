"""The checks of an audit: from facts to findings, one file for each subject. Pure: no call."""
