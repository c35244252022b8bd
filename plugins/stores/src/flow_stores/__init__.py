"""flow-stores: moves runs from store to store, and looks whether a store works (the command ``store``)."""
