"""What a command changes on a host: written in one step, shown as a diff first, recorded, and taken back."""
