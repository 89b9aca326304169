"""Generates parts of the documentation: tables from the code, diagrams and pictures from real runs (`make docs`)."""
