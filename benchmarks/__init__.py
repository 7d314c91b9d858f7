"""How fast is Tillbook, on which machine, and who says so?"""
