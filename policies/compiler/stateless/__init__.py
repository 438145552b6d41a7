"""Rules for switches without connection tracking, in many tables or one."""
