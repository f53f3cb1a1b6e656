"""Which form the datastore's content has, who may work with it, and how it becomes another one and back."""
