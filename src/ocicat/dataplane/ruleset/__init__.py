"""What the ruleset says: pure, from steps and rules to the text of a transaction. Nothing here touches the kernel."""
