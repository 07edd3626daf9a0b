"""Stored runs judged anew: with other parameters, or to show what an alert rests on."""
