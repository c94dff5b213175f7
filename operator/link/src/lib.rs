//! A pod's line to the operator: long polls, bound token, back-off.
