"""Data: data sets, labels and conditions, image decoding, downloads and prepared sets."""
