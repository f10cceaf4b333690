"""What fusion learns from: base scores on requests the bases have not seen."""
