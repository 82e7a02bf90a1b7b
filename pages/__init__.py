"""The pages: each file registers one and lays it out, from the parts of wfmon.ui."""
