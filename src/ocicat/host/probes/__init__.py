"""What this kernel can do, found out by doing it, in a network namespace that is made for that and gone afterwards."""
