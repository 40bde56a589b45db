//! Files of trees: which are selected, what they contain, and copies of them.
